"""What the program says of its commands, and what it does where a name is missing or misspelt."""

import shlex

import pytest

from petition.cli.commands import COMMANDS, FIRST, GROUPS
from petition.cli.main import load
from petition.cli.preview import As
from petition.outbox.states import State
from tests.acceptance.queued import queue
from tests.acceptance.small import SmallCampaign


@pytest.fixture
def nowhere(tmp_path) -> SmallCampaign:
    return SmallCampaign(tmp_path)


def test_the_first_look_fits_a_terminal_and_leads_to_all_commands(nowhere: SmallCampaign):
    shown = nowhere.petition("--help", status=0).out.splitlines()
    assert len(shown) <= 22  # beside the command and the next prompt
    assert max(map(len, shown)) <= 80
    words = [(line.split() or [""])[0] for line in shown]
    assert [word for word in words if word in COMMANDS] == list(FIRST)
    assert len(FIRST) == 10
    assert shown[-1].endswith("petition help all")
    assert nowhere.petition("help", status=0).out.splitlines() == shown
    assert nowhere.petition(status=2).err.splitlines() == shown


def test_all_commands_are_listed_by_group(nowhere: SmallCampaign):
    shown = nowhere.petition("help", "all", status=0).out
    for heading, group in GROUPS.items():
        listed = shown.partition(f"{heading}:\n")[2].partition("\n\n")[0].splitlines()
        assert [line.split()[0] for line in listed] == list(group)
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_help_on_a_command_is_its_help(nowhere: SmallCampaign, command: str):
    shown = nowhere.petition(command, "--help", status=0).out
    assert nowhere.petition("help", command, status=0).out == shown
    assert nowhere.petition(command, "-h", status=0).out == shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_page_is_shown_by_its_name_unless_a_command_has_it(nowhere: SmallCampaign):
    page = nowhere.petition("help", "delivery.md", status=0).out
    assert nowhere.petition("help", "delivery", status=0).out == page
    assert nowhere.petition("help", "login", status=0).out.startswith("Usage")
    assert nowhere.petition("help", "login.md", status=0).out.startswith("#")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_ends_with_two_examples_that_the_program_takes(
    nowhere: SmallCampaign, command: str
):
    *_, one, other = nowhere.petition(command, "--help", status=0).out.splitlines()
    for line in (one, other):
        program, *words = shlex.split(line.partition(" > ")[0])
        assert (program, words[0]) == ("petition", command)
        load(command).make_context(command, words[1:])  # raises if it does not parse


def test_a_misspelt_command_names_the_one_that_was_meant(nowhere: SmallCampaign):
    for words in (["sned"], ["help", "sned"]):
        assert "send" in nowhere.petition(*words, status=2).err.splitlines()[-1]


def test_a_misspelt_choice_is_answered_with_the_choices_alone(nowhere: SmallCampaign):
    said = nowhere.petition("preview", "--as", "htm", status=2).err.splitlines()[-1]
    for choice in As:
        assert f"'{choice}'" in said
    assert "alue error" not in said


@pytest.mark.parametrize("command", ["send", "retry", "withdraw"])
def test_a_command_for_a_letter_lists_the_letters(campaign: SmallCampaign, command: str):
    campaign.write("letters/reminder.md", "---\nto: recipients\nsubject: Again\n---\nHello\n")
    queue(campaign, p1=State.SENT, p2=State.FAILED)
    before = campaign.states()
    answer = campaign.petition(command, status=2)
    rows = {line.split()[0]: line for line in answer.out.splitlines()}
    assert rows["open-letter"].endswith("1 sent, 1 failed")
    assert rows["reminder"].endswith("not sent yet")
    assert f"petition {command} open-letter" in answer.err
    assert campaign.states() == before


def test_a_command_for_a_letter_makes_no_log_when_it_lists(campaign: SmallCampaign):
    campaign.petition("send", status=2)
    assert not (campaign.root / "rehearsal.db").exists()


def test_short_options_are_those_of_other_programs(campaign: SmallCampaign):
    assert "Dry run" in campaign.petition("send", "open-letter", "-n", status=0).out
    assert not (campaign.root / "outbox").exists()
    campaign.petition("send", "open-letter", "-y", status=0)
    campaign.petition("forget", "p1@x.example", "-y", status=0)
    campaign.petition("trust", "-y", status=0)
    assert campaign.petition("-V", status=0) == campaign.petition("--version", status=0)
