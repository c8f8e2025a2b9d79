"""petition check: one fault hides no other, and nothing is blamed for what follows from another."""

import re

import pytest

from tests.acceptance.small import SETTINGS, SmallCampaign
from tests.acceptance.test_commands_terminal import STYLE, on_terminal
from tests.servers.counting import counting_server

SERVER = "mail.somewhere.net"


def check(campaign: SmallCampaign, status: int | None = None) -> list[str]:
    """What is said, a line a problem."""
    return campaign.petition("check", status=status).out.splitlines()


def test_a_caret_is_under_the_name_only_on_a_terminal(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "recipient.town", "recipient.twon")
    text = STYLE.sub("", on_terminal(campaign, ["check"]))
    begun = text.index("8 | the water of {{ recipient.twon or")
    line, carets = text[begun - 4 :].splitlines()[:2]
    start = carets.index("^")
    assert line[start : start + carets.count("^")] == "recipient.twon"
    assert "Did you mean recipient.town?" in " ".join(text.split())
    assert [line for line in check(campaign, 1) if re.match(r"\s", line)] == []


@pytest.mark.parametrize("cell", ["Жезқазған" * 20, "東京都" * 30, "x" * 5_000])
def test_a_long_line_is_cut_around_its_caret(campaign: SmallCampaign, cell: str):
    campaign.write("recipients.csv", f"town,name,email,note\n{cell},A,bad,{cell}\n")
    lines = STYLE.sub("", on_terminal(campaign, ["check"])).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("    2 | "))
    assert "…" in lines[at]
    assert "bad" in lines[at]
    assert lines[at + 1].count("^") == 3


def test_a_broken_statement_does_not_hide_fields(campaign: SmallCampaign):
    campaign.write(
        "letters/open-letter.md",
        '---\nsubject: "{{ recipient.nam }}"\ncc: ["one", "two"]\n---\n'
        "{{ recipient.twon }}\n\n{% if %}\n",
    )
    said = "\n".join(check(campaign, 1))
    for what in ("recipient.nam.", "recipient.twon.", '"one"', '"two"', "letter.md:7: "):
        assert what in said
    assert said.count("letters/open-letter.md:3") == 2


def test_every_bad_cell_of_a_signatory_is_reported(campaign: SmallCampaign):
    campaign.write("signatories.csv", "name,kind,publish,email\n,thing,perhaps,x\n")
    said = check(campaign, 1)
    assert sum(line.startswith("signatories.csv:2: ") for line in said) == 4
    assert "no signatories" not in "\n".join(said)  # the letter's list is not to blame


def test_bad_demands_are_not_reported_as_missing(campaign: SmallCampaign):
    campaign.write("letters/demands.md", "##\n\nText\n")
    said = "\n".join(check(campaign, 1))
    assert "letters/demands.md:1" in said
    assert "no demands" not in said


def test_every_language_is_checked(campaign: SmallCampaign):
    campaign.change("petition.toml", "[sender]", 'languages = ["en", "Englisch!", "7"]\n[sender]')
    said = "\n".join(check(campaign, 1))
    assert '"Englisch!" is not a language tag' in said
    assert '"7" is not a language tag' in said


def test_the_placeholder_for_a_wrong_sender_is_not_checked(campaign: SmallCampaign):
    campaign.change("petition.toml", "letter@campaign.example", "nobody")
    campaign.env["PETITION_SMTP_HOST"] = SERVER
    said = [line for line in check(campaign, 1) if line.startswith("petition.toml")]
    assert len(said) == 1
    assert "sender.example" not in said[0]


def test_a_live_letter_is_checked_against_its_settings(campaign: SmallCampaign):
    campaign.env["PETITION_SMTP_HOST"] = SERVER
    campaign.change("letters/open-letter.md", "reply_by:", 'cc: ["kim@copies.example"]\nreply_by:')
    said = "\n".join(check(campaign, 1))
    assert "petition.toml:6: letter@campaign.example is under" in said
    assert "petition.toml:7: answers@campaign.example is under" in said
    assert "letters/open-letter.md:4: kim@copies.example is under" in said
    assert "delete the row" not in said.split("recipients.csv")[0]
    campaign.write("petition.toml", SETTINGS.replace("reply_to", "# reply_to"))
    assert "petition.toml:5: [sender] has no reply_to" in "\n".join(check(campaign, 1))


def test_missing_encryption_is_reported_where_it_is_set(campaign: SmallCampaign):
    smtp = f'\n[smtp]\nhost = "{SERVER}"\nsecurity = "none"\n'
    campaign.write("petition.toml", SETTINGS + smtp)
    assert 'petition.toml:11: security in [smtp] is "none"' in "\n".join(check(campaign, 1))
    campaign.write("petition.toml", SETTINGS)
    campaign.env |= {"PETITION_SMTP_HOST": SERVER, "PETITION_SMTP_SECURITY": "none"}
    said = "\n".join(check(campaign, 1))
    assert 'environment: PETITION_SMTP_SECURITY is "none"' in said
    assert "Set it to starttls or tls" in said


def test_a_duplicate_table_is_named(campaign: SmallCampaign):
    campaign.write("petition.toml", SETTINGS + '[campaign]\ntitle = "b"\n')
    assert any("cannot declare [campaign] twice" in line for line in check(campaign, 1))


def test_a_letter_that_send_would_stop_at(campaign: SmallCampaign):
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.petition("send", "open-letter", "--yes", status=0)
    assert "ready" not in check(campaign, 0)[0]
    campaign.change("letters/open-letter.md", "**clean**", "fresh")
    said = check(campaign, 2)
    assert said[0].startswith('letters/open-letter.md: warning: "open-letter" has changed since')
    assert said[1].endswith("1 warning: not ready: open-letter needs --revise or --again.")
    campaign.write("letters/second.md", '---\nsubject: "Second"\n---\nText\n')
    end = "open-letter needs --revise or --again; the others are ready."
    assert check(campaign, 2)[1].endswith(end)
    (campaign.root / "letters/second.md").unlink()
    (campaign.root / "letters/open-letter.md").rename(campaign.root / "letters/other.md")
    said = check(campaign, 2)
    assert "under another name" in said[0]
    assert said[1].endswith("not ready: other needs the name open-letter.")


def test_a_mistake_in_the_settings_is_no_change_of_the_letter(campaign: SmallCampaign):
    with counting_server() as server:
        campaign = campaign.through(server.port)
        campaign.petition("send", "open-letter", "--yes", status=0)
    campaign.change("petition.toml", "reply_to", "replyto")
    (mistake, end) = check(campaign, 1)
    assert "replyto" in mistake
    assert end.startswith("1 error:")


def test_a_follow_up_waits_for_the_letter_before_it(campaign: SmallCampaign):
    campaign.write("letters/again.md", "---\nfollows: open-letter\n---\nOnce more.\n")
    needs = "again needs open-letter to be sent first"
    assert f"{needs}; the others are ready" in check(campaign, 0)[0]
    assert f"not ready: {needs}" in campaign.petition("check", "again", status=2).out
    campaign.petition("send", "again", status=2)
    campaign.petition("send", "open-letter", "--to", "p1", status=0)
    assert needs not in campaign.petition("check", "letters/again.md", status=0).out
    campaign.petition("send", "again", status=0)


def test_a_list_of_people_who_get_no_letter_is_not_ready(campaign: SmallCampaign):
    campaign.write("recipients.csv", "email,name,town,opted_out\np1@x.example,P1,,yes\n")
    assert "ready" not in check(campaign, 0)[-2]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("petition.toml", "from =", "form ="),
        ("petition.toml", "from =", "absender ="),
        ("petition.toml", "[sender]", "[sendr]"),
        ("petition.toml", "title =", "name ="),
        ("letters/open-letter.md", "subject:", "betreff:"),
        ("letters/open-letter.md", "reply_by:", "reply-by:"),
        ("letters/open-letter.md", "reply_by:", "deadline:"),
        ("letters/open-letter.md", "reply_by: 14 days", "reply_by: soon"),
    ],
)
def test_a_wrong_key_is_one_problem(campaign: SmallCampaign, file: str, old: str, new: str):
    campaign.change("letters/open-letter.md", "{{ signatories }}", "{{ sender.name }}")
    campaign.change(file, old, new)
    said = check(campaign, 1)
    assert [line.partition(":")[0] for line in said[:-1]] == [file, "1 error"]


def test_a_sender_without_a_name_is_named_in_the_settings(campaign: SmallCampaign):
    campaign.change("petition.toml", "Water Campaign <letter@campaign.example>", "a@b.example")
    campaign.change("letters/open-letter.md", "{{ signatories }}", "{{ sender.name }}")
    said = check(campaign, 1)
    assert "from = " in said[0]
    assert "[sender]" in said[0]
    assert "recipients.csv" not in said[0]


def test_people_who_opted_out_get_no_copy(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "reply_by:", 'bcc: ["kim@x.example"]\nreply_by:')
    campaign.petition("suppress", "kim@x.example", status=0)
    assert any("letters/open-letter.md:4: kim@x.example" in one for one in check(campaign))
    answer = campaign.petition("send", "open-letter", status=1)
    assert "kim@x.example" in answer.err
    assert not (campaign.root / "outbox").exists()
    answer = campaign.petition("send", "open-letter", "--to-me", "kim@x.example")
    assert answer.status != 0


def test_no_trial_copy_is_sent_to_a_suppressed_mailbox(campaign: SmallCampaign):
    campaign.petition("suppress", "me@y.example", status=0)
    answer = campaign.petition("send", "open-letter", "--to-me", "me@y.example", status=2)
    assert "me@y.example" in answer.err
    campaign.write("recipients.csv", "email,name,town\nann@somewhere.net,Ann,Leeds\n")
    for old in ("letter@campaign.example", "answers@campaign.example"):
        campaign.change("petition.toml", old, "ann@somewhere.net")
    campaign.env["PETITION_SMTP_HOST"] = SERVER
    arguments = ("send", "open-letter", "--to-me", "me@y.example", "--yes")
    assert "reserved for examples" in campaign.petition(*arguments, status=2).err


def test_demands_in_another_language_are_a_warning(campaign: SmallCampaign):
    campaign.change("petition.toml", "[sender]", 'languages = ["en", "ru"]\n[sender]')
    campaign.write("letters/open-letter.ru.md", '---\nsubject: "S"\n---\nТекст\n\n{{ demands }}\n')
    said = check(campaign, 0)
    what = "letters/open-letter.ru.md:6: warning: there is no letters/demands.ru.md"
    assert any(line.startswith(what) for line in said)


def test_an_empty_list_is_a_warning(campaign: SmallCampaign):
    campaign.write("recipients.csv", "email,name,town\n")
    said = check(campaign, 0)
    assert said[0].startswith("recipients.csv:1: warning: there is nobody on this list")
    assert "ready" not in "".join(said)


def test_a_link_that_leads_back_to_itself(campaign: SmallCampaign):
    (campaign.root / "recipients.csv").unlink()
    (campaign.root / "recipients.csv").symlink_to("recipients.csv")
    assert "recipients.csv: is a link to itself" in "\n".join(check(campaign, 1))


def test_only_names_that_a_letter_can_use_are_listed(campaign: SmallCampaign):
    campaign.write(
        "letters/open-letter.md",
        '---\nsubject: "S"\n---\n{% for one in demands %}{{ one.title }}{% endfor %}\n\n'
        "{{ unheard }} {{ demands.xyz }}\n",
    )
    said = "\n".join(check(campaign, 1))
    assert "Known here: campaign, demands, recipient, sender, signatories, today." in said
    assert "It is a list: write {% for one in demands %}{{ one.xyz }}{% endfor %}." in said


def test_one_problem_is_counted_as_one(campaign: SmallCampaign):
    campaign.write("letters/open-letter.md", "---\nto: nobody\nsubject: S\n---\nText\n")
    said = check(campaign, 1)
    assert said[0].endswith('Name its file there: nobody = "nobody.csv".')
    assert said[1] == "1 error: nothing is sent until it is fixed."
    assert "outbox" not in said[2]


def test_an_unknown_kind_of_database_does_not_hide_other_problems(campaign: SmallCampaign):
    settings = (campaign.root / "petition.toml").read_text("utf-8")
    campaign.write("petition.toml", settings + '\n[log]\ndatabase = "mysql://x/y"\n')
    campaign.change("letters/open-letter.md", "{{ recipient.name }}", "{{ recipient.nam }}")
    said = campaign.through(2525).petition("check", status=1).out
    assert "petition.toml:" in said
    assert 'Write it as "sqlite:///petition.db"' in said
    assert "recipient.nam" in said


def test_an_unknown_event_is_reported_once(campaign: SmallCampaign):
    campaign.write(
        "letters/open-letter.md",
        '---\nsubject: "S"\nevent: protest\n---\nCome to {{ event.place }} on {{ event.day }}.\n',
    )
    said = check(campaign, 1)
    assert [line for line in said if "open-letter.md" in line and "event" in line] == [said[0]]


def test_people_in_cc_who_are_on_the_list_are_a_warning(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "reply_by:", 'cc: ["P2@x.example"]\nreply_by:')
    said = check(campaign, 0)
    what = "p2@x.example is in cc of every letter, and on the list too (recipients.csv:3)"
    assert f"letters/open-letter.md:4: warning: {what}. Delete it from cc" in said[0]


def test_those_in_cc_of_a_row_are_checked_as_those_of_every_letter(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "reply_by:", 'cc: ["{{ recipient.pa }}"]\nreply_by:')
    campaign.write(
        "recipients.csv",
        "email,name,town,pa\np1@x.example,P1,A,P2@x.example\np2@x.example,P2,A,\n"
        "p3@x.example,P3,A,out@x.example\np4@x.example,P4,A,gone@x.example\n",
    )
    campaign.petition("suppress", "out@x.example", status=0)
    campaign.petition("forget", "gone@x.example", "--yes", status=0)
    found = campaign.petition("check", "--json", status=1).json["problems"]
    assert [(one["file"], one["line"], one["level"]) for one in found] == [
        ("recipients.csv", 2, "warning"),
        ("recipients.csv", 4, "error"),
        ("recipients.csv", 5, "error"),
    ]
    live = {"PETITION_SMTP_HOST": "smtp.host.org", "PETITION_SMTP_SECURITY": "starttls"}
    found = SmallCampaign(campaign.root, live).petition("check", "--json").json["problems"]
    assert any(one["line"] == 2 and one["what"].startswith("cc: P2@x.example") for one in found)


@pytest.mark.parametrize(("per_day", "status"), [(3, 1), (4, 0)])
def test_a_copy_to_more_mailboxes_than_a_day_allows_is_an_error(
    campaign: SmallCampaign, per_day: int, status: int
):
    campaign.change("letters/open-letter.md", "reply_by:", 'cc: ["{{ recipient.pa }}"]\nreply_by:')
    rows = [f"p{number}@x.example,P{number},A,a{number}@x.example" for number in range(60)]
    rows[47] = 'p47@x.example,P47,A,"a@x.example; b@x.example; c@x.example"'
    campaign.write("recipients.csv", "\n".join(["email,name,town,pa", *rows, ""]))
    campaign.write("petition.toml", f"{SETTINGS}\n[pace]\nper_day = {per_day}\n")
    found = campaign.through(1).petition("check", "--json", status=status).json["problems"]
    assert [one["line"] for one in found if "per_day" in one["what"]] == [49] * status


def test_a_person_who_was_forgotten_is_in_cc_of_no_waiting_copy(campaign: SmallCampaign):
    campaign.change("letters/open-letter.md", "reply_by:", 'cc: ["{{ recipient.pa }}"]\nreply_by:')
    campaign.write("recipients.csv", "email,name,town,pa\np1@x.example,P1,A,Pa <gone@x.example>\n")
    campaign.through(1).petition("send", "open-letter", "--yes", status=4)
    campaign.through(1).petition("forget", "gone@x.example", "--yes", status=0)
    with counting_server() as server:
        campaign.write("recipients.csv", "email,name,town,pa\np1@x.example,P1,A,\n")
        campaign.through(server.port).petition("send", "open-letter", "--yes", status=0)
        assert set(server.accepted) == {"p1@x.example"}


def test_the_first_of_many_bad_rows_are_listed_and_the_rest_counted(campaign: SmallCampaign):
    rows = "".join(f"a{number},b,c\n" for number in range(3_000))
    campaign.write("recipients.csv", "email,name,town\n" + rows)
    said = check(campaign, 1)
    assert len([line for line in said if line.startswith("recipients.csv:")]) == 1_001
    assert "recipients.csv:1002: 2,000 more problems" in "\n".join(said)
    assert "3,000 errors" in "\n".join(said)
    assert len(campaign.petition("send", "open-letter", "--yes", status=1).err.splitlines()) < 1_010


def test_the_first_of_many_bad_opt_outs_are_listed(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", "--yes", status=0)
    rows = "".join(f"a{number}\n" for number in range(3_000))
    campaign.write("out.csv", "email\n" + rows + "b@x.example\n")
    done = campaign.petition("suppress", "--from", "out.csv", status=1)
    assert done.err.count("out.csv:") == 1_001
    assert "1 address" in done.out


def test_a_language_without_words_of_its_own_is_named(campaign: SmallCampaign):
    campaign.change("petition.toml", 'id = "water"', 'id = "water"\nlanguages = ["en", "it", "pl"]')
    text = '---\nsubject: "S"\n---\nText\n\n{{ signatories }}\n'
    campaign.write("letters/open-letter.it.md", text)
    campaign.write("letters/open-letter.pl.md", text)
    said = [line for line in check(campaign, 0) if "no words" in line]
    assert [line.partition(":")[0] for line in said] == ["letters/open-letter.it.md"]


def test_a_translation_is_not_blamed_for_the_front_matter_of_the_letter(campaign: SmallCampaign):
    campaign.write("recipients.csv", "email,name,language,file\na@b.example,Ann,ru,\n")
    campaign.write("letters/open-letter.ru.md", "---\nsubject: Тема\n---\nДо {{ reply_by }}.\n")
    front = "---\nsubject: One\nreply_by: 14 days\nattachments:\n{}---\nHello.\n"
    settings = SETTINGS.replace("[sender]", 'languages = ["en", "ru"]\n[sender]')
    campaign.write("petition.toml", settings)
    campaign.write("letters/open-letter.md", front.format('  - "{{ recipient.file or "x" }}"\n'))
    said = "\n".join(check(campaign, 1))
    assert "letters/open-letter.md:5: this is not YAML" in said
    assert "open-letter.ru.md" not in said
    campaign.write("letters/open-letter.md", front.format('  - "{{ recipient.file }}"\n'))
    said = "\n".join(check(campaign, 1))
    assert "letters/open-letter.md:4: recipient.file is empty" in said
    assert "write {{ recipient.file or '' }}" in said
    assert "open-letter.ru.md" not in said
    campaign.write("letters/open-letter.md", front.format("  - \"{{ recipient.file or '' }}\"\n"))
    check(campaign, 0)
