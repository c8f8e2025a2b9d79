import pytest

from petition.campaign.tables import ALIASES, REASONS, Export
from petition.errors import Level
from tests.unit.campaign.samples import Said, people_of

# Each sample: who is written to and how, and who is not and why.
GREETED = {
    "action-network.csv": {
        "amara.okonkwo@mailhub.example": ("Amara Okonkwo", "", "", "GB", "LS6 2AB")
    },
    "actionkit.csv": {
        "m.adeyemi@clinic.example": (
            "Miriam Adeyemi",
            "Dr Adeyemi",
            "en",
            "United Kingdom",
            "BS1 4XX",
        )
    },
    "nationbuilder.csv": {
        "aoife.byrne@mailhub.example": ("Aoife Byrne", "Mrs Byrne", "en", "IE", "H91 XY00")
    },
    "civicrm.csv": {
        "olha.shevchenko@poshta.example": (
            "Ms Ольга Шевченко",
            "Ms Шевченко",
            "uk",
            "Ukraine",
            "01001",
        )
    },
    "mobilize.csv": {
        "imani.brooks@mailhub.example": ("Imani Brooks", "", "", "", "19103"),
        "diego.ramirez@mailhub.example": ("Diego Ramírez", "", "", "", "19104"),
    },
    "osdi.csv": {
        "saule@poshta.example": ("Saule Akhmetova", "Ms Akhmetova", "kk-kz", "KZ", "100600"),
        "berik@poshta.example": ("Berik Omarov", "", "ru", "KZ", "100601"),
    },
}
EXCLUDED = {
    "action-network.csv": {
        "luis.pena@correo.example": "unsubscribed",
        "greta@holm.example": "bounced before",
        "tom.birch@mailhub.example": "opted out",
        "ewa.nowak@poczta.example": "bounced before",
    },
    "actionkit.csv": {
        "jonas.keller@post.example": "unsubscribed",
        "rosa@delgado.example": "bounced before",
        "hana.mori@post.example": "unsubscribed",
    },
    "nationbuilder.csv": {
        "declan@walsh.example": "opted out",
        "nora.kelly@mailhub.example": "deceased",
        "sean.dunne@mailhub.example": "opted out",
        "ciara@roche.example": "opted out",
    },
    "civicrm.csv": {
        "peter.grant@council.example": "opted out",
        "anna.fischer@post.example": "opted out",
        "ivo.novak@posta.example": "bounced before",
        "ifan.rees@post.example": "on hold",
        "jean.petit@poste.example": "opted out",
    },
    "mobilize.csv": {},
    "osdi.csv": {},
}


@pytest.mark.parametrize("file", GREETED)
def test_an_export_is_understood_as_it_comes(file):
    people, problems = people_of(file)
    assert not any(problem.is_error for problem in problems)
    fields = ("name", "salutation", "language", "country", "postcode")
    written_to = {
        one.mailbox.addr_spec: (
            one.fields["name"],
            one.fields.get("salutation", ""),
            one.language,
            one.fields.get("country", ""),
            one.fields["postcode"],
        )
        for one in people
        if not one.excluded
    }
    assert len(fields) == 5
    assert written_to == GREETED[file]
    excluded = {one.mailbox.addr_spec: one.excluded for one in people if one.excluded}
    assert excluded == EXCLUDED[file]


def test_what_was_understood_is_told():
    _, problems = people_of("civicrm.csv")
    note = problems[0]
    assert (note.level, note.line) == (Level.NOTE, 1)
    assert '"Individual Prefix" as honorific' in note.what
    assert '"Deceased", "Do Not Email", "No Bulk Emails (User Opt Out)"' in note.what


def test_a_dead_row_without_an_address_keeps_no_letter():
    _, problems = people_of("civicrm.csv")
    (warning,) = (one for one in problems if one.level is Level.WARNING)
    assert warning.line == 6
    assert '"deceased"' in warning.what


def read(folder, content):
    folder.write("a.csv", content)
    return people_of("a.csv", folder.root)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("no,,", ""),
        (",0,subscribed", ""),
        ("TRUE,,", "deceased"),
        ("1,1,unsubscribed", "deceased"),
        ("no,YES,bouncing", "bounced before"),
        (",yes,", "on hold"),
        (",2,", "opted out"),
        (",On Hold Bounce,", "bounced before"),
        (",,Previous_Bounce", "bounced before"),
        (",,unsubscribed", "unsubscribed"),
        ("нет,да,", "on hold"),
    ],
)
def test_a_mark_and_its_reason(folder, row, reason):
    content = f"email,is_deceased,on_hold,subscription_status\na@b.example,{row}\n"
    (person,), _ = read(folder, content)
    assert person.excluded == reason
    assert reason in ("", *REASONS)


def test_a_mark_that_is_not_clear_is_a_problem_with_its_column(folder):
    content = "email,Deceased,Subscription Status\na@b.example,perhaps,\nc@d.example,,gone\n"
    people, problems = read(folder, content)
    assert people == []
    assert [(one.line, Said(one.what)) for one in problems if one.is_error] == [
        (2, 'Deceased is "perhaps"'),
        (3, 'Subscription Status is "gone"'),
    ]


def test_an_excluded_row_may_hold_what_would_else_be_a_problem(folder):
    people, problems = read(folder, "email,deceased,language\na@b.example,yes,Klingon\n")
    assert [(one.excluded, one.language) for one in people] == [("deceased", "")]
    assert not any(one.is_error for one in problems)


def test_our_own_names_win_and_theirs_stay(folder):
    content = "email,email_address,zip_code,language,lang,prefix,last_name,salutation\n"
    content += "a@b.example,c@d.example,LS1,en,ru,Ms,Kim,Dear Ms K\n"
    (person,), _ = read(folder, content)
    assert person.mailbox.addr_spec == "a@b.example"
    assert person.language == "en"
    assert person.fields["salutation"] == "Dear Ms K"
    assert person.fields["zip_code"] == person.fields["postcode"] == "LS1"


def test_a_title_is_a_job_title_and_no_form_of_address(folder):
    (person,), problems = read(folder, "email,title,last_name\na@b.example,Chair,Kim\n")
    assert problems == []
    assert "salutation" not in person.fields
    assert not any("title" in aliases or ours == "title" for ours, aliases in ALIASES.items())


@pytest.mark.parametrize(
    ("label", "tag"),
    [
        ("English (United Kingdom)", "en"),
        ("Portuguese (Brazil)", "pt"),
        ("Kazakh", "kk"),
        ("Русский", "ru"),
        ("қазақ тілі", "kk"),
        ("Spanish; Castilian (Spain)", "es"),
        ("en_GB", "en-gb"),
        ("", ""),
    ],
)
def test_languages_by_their_names(folder, label, tag):
    (person,), _ = read(folder, f'email,Preferred Language\na@b.example,"{label}"\n')
    assert person.language == tag


def test_a_language_that_nobody_knows_names_the_column_of_the_file(folder):
    _, problems = read(folder, "email,Preferred Language\na@b.example,Klingon\n")
    assert problems[-1].what == 'Preferred Language: "Klingon" is not a language tag'


def test_a_list_made_by_hand(folder):
    for header in ("E-Mail,Forename,Surname", "Почта,Имя,Фамилия", "Электрондық пошта,Аты,Тегі"):
        (person,), problems = read(folder, f"{header}\na@b.example,Aigul,Sadykova\n")
        assert person.mailbox.display_name == "Aigul Sadykova"
        assert [problem.level for problem in problems] == [Level.NOTE]


@pytest.mark.parametrize(
    ("label", "tag"), [("Russian", "ru"), ("Қазақша", "kk"), ("Klingon", "en")]
)
def test_a_language_by_its_name_is_told_as_a_tag(folder, label, tag):
    _, problems = read(folder, f"email,language\na@b.example,{label}\n")
    assert problems[-1].hint.startswith("Write")
    assert f'"{tag}"' in problems[-1].hint


def test_no_column_is_claimed_twice():
    theirs = [name for aliases in ALIASES.values() for name in aliases]
    assert len(theirs) == len(set(theirs))
    assert not set(theirs) & set(ALIASES)
    assert Export(["email", "name"]).marks == ()
