import pytest

from petition.campaign.folder import load_campaign
from petition.errors import CampaignError, Level
from tests.unit.campaign.conftest import LETTER, TOML
from tests.unit.campaign.samples import Said, judged

LANGUAGES = TOML.replace("[sender]", 'languages = ["en", "ru", "pt-BR"]\n[sender]')


def told(problems):
    return [(problem.file, problem.line, Said(problem.what)) for problem in problems]


def refused(root):
    with pytest.raises(CampaignError) as fault:
        load_campaign(root)
    return fault.value.problems


def test_a_campaign_is_its_files(folder):
    folder.write("petition.toml", LANGUAGES)
    folder.write("letters/open-letter.pt_br.md", LETTER)
    folder.write("letters/open-letter.ru.md", LETTER)
    folder.write("letters/appeal.ru.md", LETTER)
    folder.write("letters/demands.ru.md", "## Б {#b}\n")
    folder.write("letters/demands.md", "## B\n")
    folder.write("signatories.csv", "name\nKim\n")
    folder.write("letters/.open-letter.md.swp", "x")
    folder.write("letters/notes.txt", "x")
    campaign = load_campaign(folder.root)
    assert campaign.problems == []
    assert campaign.languages == ("en", "ru", "pt-br")
    assert sorted(campaign.letters) == ["appeal", "open-letter"]
    assert list(campaign.letters["open-letter"].texts) == ["en", "ru", "pt-br"]
    assert campaign.letters["appeal"].default_text.language == "ru"
    assert {language: demands[0].id for language, demands in campaign.demands.items()} == {
        "en": "b",
        "ru": "b",
    }
    assert [signatory.name for signatory in campaign.signatories] == ["Kim"]
    problems = []
    people = judged(campaign.people("recipients", problems), problems)
    assert [person.number for person in people] == [1]
    assert problems == []


@pytest.mark.parametrize("name", [".", "nowhere", "recipients.csv", "a\0b"])
def test_without_petition_toml_there_is_one_problem(folder, name):
    (folder.root / "petition.toml").unlink()
    folder.write("letters/broken.md", "x")
    (problem,) = refused(folder.root / name)
    assert (problem.file, problem.line) == ("petition.toml", None)
    assert "not found in" in problem.what or "cannot be read" in problem.what


def test_an_unreadable_petition_toml_does_not_hide_the_other_problems(folder):
    folder.write("petition.toml", "[campaign\n")
    folder.write("letters/open-letter.ru.md", "---\nsubject: x\nsubject: y\n---\nx")
    folder.write("letters/demands.md", "## {#a}\n")
    folder.write("signatories.csv", "name,publish\nKim,maybe\n")
    folder.write("recipients.csv", "email\nkim\n")
    assert [(problem.file, problem.line) for problem in refused(folder.root)] == [
        ("petition.toml", 1),
        ("letters/open-letter.ru.md", 3),
        ("letters/demands.md", 1),
        ("signatories.csv", 2),
        ("recipients.csv", 2),
    ]


def test_a_folder_in_place_of_petition_toml(folder):
    (folder.root / "petition.toml").unlink()
    (folder.root / "petition.toml").mkdir()
    assert told(refused(folder.root)) == [("petition.toml", None, "file")]


@pytest.mark.parametrize(
    ("file", "line", "what"),
    [
        ("letters/open-letter.kk.md", None, '"kk" is not a language of the campaign'),
        ("letters/open-letter.v2.md", None, '"v2" is not a language of the campaign'),
        ("letters/demands.kk.md", None, '"kk" is not a language of the campaign'),
        (
            "letters/open-letter.en.md",
            None,
            "letters/open-letter.en.md is the same letter in the same language",
        ),
        (
            "letters/open letter.md",
            None,
            "the name of a letter",
        ),
        ("letters/-.md", None, "the name of a letter"),
        ("letters/README.md", 1, "has no front matter"),
    ],
)
def test_a_file_among_the_letters_that_is_no_letter(folder, file, line, what):
    folder.write(file, LETTER if line is None else "# Read me\n")
    ((found, at, said),) = told(load_campaign(folder.root).problems)
    assert (at, said) == (line, what)
    assert found == ("letters/open-letter.md" if ".en." in file else file)


@pytest.mark.component("unix")
def test_a_name_that_is_no_text_is_shown_as_well_as_it_can_be(folder):
    (folder.root / b"letters/\xff.md".decode("utf-8", "surrogateescape")).write_text(LETTER)
    ((file, _, _),) = told(load_campaign(folder.root).problems)
    assert file == "letters/?.md"


def test_a_folder_among_the_letters(folder):
    (folder.root / "letters/appeal.md").mkdir()
    campaign = load_campaign(folder.root)
    assert told(campaign.problems) == [("letters/appeal.md", None, "file")]
    assert not campaign.letters["appeal"].texts


def test_no_letters(folder):
    (folder.root / "letters/open-letter.md").unlink()
    assert told(load_campaign(folder.root).problems) == [("letters", None, "there is no letter")]
    (folder.root / "letters").rmdir()
    assert [problem.file for problem in load_campaign(folder.root).problems] == ["letters"]
    folder.write("letters", "x")
    assert [problem.file for problem in load_campaign(folder.root).problems] == ["letters"]


def test_a_letter_to_an_unknown_list(folder):
    folder.write("letters/open-letter.md", LETTER.replace("---\n", "---\nto: recipient\n", 1))
    (problem,) = load_campaign(folder.root).problems
    assert (problem.file, problem.line) == ("letters/open-letter.md", 2)
    assert problem.what == 'there is no list "recipient" in [people] of petition.toml'
    assert problem.hint == 'Did you mean "recipients"'


def test_a_list_that_is_asked_for_and_not_there(folder):
    campaign = load_campaign(folder.root)
    problems = []
    assert campaign.people("supporters", problems) is None
    assert campaign.people("signatories", problems) is None
    assert told(problems) == [
        ("petition.toml", None, 'there is no list "supporters" in [people] of petition.toml'),
        ("signatories.csv", None, "does not exist"),
    ]


def test_signatories_are_only_missed_where_their_file_is_named(folder):
    assert load_campaign(folder.root).problems == []
    folder.write("petition.toml", TOML + '[people]\nsignatories = "signed.csv"\n')
    assert told(load_campaign(folder.root).problems) == [("signed.csv", None, "does not exist")]


def test_demands_that_differ_are_told_once_each_reads_well(folder):
    folder.write("petition.toml", LANGUAGES)
    folder.write("letters/demands.md", "## A {#a}\n")
    folder.write("letters/demands.ru.md", "## А {#b}\n")
    assert len(load_campaign(folder.root).problems) == 2
    folder.write("letters/demands.ru.md", "## А\n")
    assert told(load_campaign(folder.root).problems) == [
        ("letters/demands.ru.md", 1, "this demand has no id")
    ]


def test_a_list_under_another_name_is_named_with_the_line_to_write(folder):
    (folder.root / "recipients.csv").rename(folder.root / "Recipients.xlsx")
    problems = []
    assert load_campaign(folder.root).people("recipients", problems) is None
    (problem,) = problems
    assert 'recipients = "Recipients.xlsx"' in problem.hint


def test_signatories_under_another_name_are_a_warning(folder):
    folder.write("signatories.csv.csv", "name,publish\nAnn,yes\n")
    (problem,) = load_campaign(folder.root).problems
    assert problem.level is Level.WARNING
    assert 'signatories = "signatories.csv.csv"' in problem.hint


@pytest.mark.parametrize("name", ["second.md.txt", "second.MD", "second.markdown"])
def test_a_letter_that_is_not_read_for_its_name_is_an_error(folder, name):
    folder.write(f"letters/{name}", "x")
    (problem,) = load_campaign(folder.root).problems
    assert problem.is_error
    assert problem.file == f"letters/{name}"
    assert '"second.md"' in problem.hint


def test_a_copy_beside_the_letter_is_nobodys_business(folder):
    folder.write("letters/open-letter.md.bak", "x")
    assert load_campaign(folder.root).problems == []
