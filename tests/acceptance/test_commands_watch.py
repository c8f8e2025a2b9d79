"""petition preview --watch: on a real terminal, until Ctrl-C."""

from collections.abc import Iterator

import pytest

from tests.acceptance.small import SmallCampaign, Terminal

WATCHING = "Ctrl-C ends it"


@pytest.fixture
def child(campaign: SmallCampaign) -> Iterator[Terminal]:
    child = campaign.on_terminal("preview", "--watch", NO_COLOR="1")
    yield child
    child.kill()


def test_a_letter_is_shown_again_when_it_changes(campaign: SmallCampaign, child: Terminal):
    child.expect("must be clean")
    child.expect(WATCHING)
    campaign.change("letters/open-letter.md", "**clean**", "fresh")
    child.expect("must be fresh")
    child.expect(WATCHING)
    campaign.list_people("q1", q1="Bradford")
    child.expect("water of .*Bradford")
    child.expect(WATCHING)


def test_a_mistake_is_told_and_the_watch_goes_on(campaign: SmallCampaign, child: Terminal):
    child.expect(WATCHING)
    campaign.change("letters/open-letter.md", "recipient.town", "recipient.twon")
    child.expect("there is no recipient.twon")
    child.expect(r"\^\^\^")
    child.expect(WATCHING)
    campaign.change("letters/open-letter.md", "recipient.twon", "recipient.town")
    child.expect("water of .*our town")


def test_what_a_letter_carries_is_watched_too(campaign: SmallCampaign, child: Terminal):
    child.expect(WATCHING)
    campaign.change(
        "letters/open-letter.md", "reply_by:", 'attachments: ["annex/a.txt"]\nreply_by:'
    )
    child.expect("annex/a.txt")
    child.expect(WATCHING)
    campaign.write("annex/a.txt", "The annex")
    child.expect("Attached: .*a.txt")
    child.expect(WATCHING)
    (campaign.root / "annex/a.txt").unlink()
    child.expect("annex/a.txt")


def test_ctrl_c_ends_it(campaign: SmallCampaign, child: Terminal):
    child.expect(WATCHING)
    child.interrupt()
    assert child.end()[0] == 0


def test_it_shows_and_saves_nothing(campaign: SmallCampaign):
    answer = campaign.petition("preview", "--watch", "--save", "copies", status=2)
    assert "--watch" in answer.err
