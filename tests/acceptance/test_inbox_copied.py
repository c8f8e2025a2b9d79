"""petition inbox on a letter that others get a copy of: what they know proves less."""

import pytest

from tests.acceptance.returning import Returns
from tests.acceptance.small import SmallCampaign

UNKNOWN = "550 5.1.1 User unknown"


@pytest.fixture
def returns(campaign: SmallCampaign) -> Returns:
    copied = 'to: recipients\ncc: ["Office <Office@y.example>", desk@y.example]'
    campaign.change("letters/open-letter.md", "to: recipients", copied)
    return Returns(campaign)


def read(returns: Returns) -> list[dict[str, object]]:
    answer = returns.campaign.petition("inbox", "--json", status=0)
    mails: list[dict[str, object]] = answer.json["mails"]
    return mails


@pytest.mark.parametrize("named", ["office@Y.example", "desk@y.example"])
def test_a_bounce_of_a_cc_with_or_without_a_name_changes_nothing(returns: Returns, named: str):
    returns.arrive(returns.dsn("p1", "5.1.1", UNKNOWN, named=named))
    assert [(one["email"], one["changed"]) for one in read(returns)] == [("p1@x.example", [])]
    assert returns.campaign.states()["p1"] == "sent"


def test_those_in_cc_know_the_token_but_cannot_suppress_anybody(returns: Returns):
    to = f"bounces+{returns.token('p1')}@campaign.example"
    returns.arrive(
        returns.dsn("p1", "5.1.1", UNKNOWN, to=to, returned=""),
        f"From: desk@y.example\nTo: {to}\nSubject: unsubscribe\n\nRemove me.\n",
    )
    assert [one["changed"] for one in read(returns)] == [["bounced"], ["unclassified"]]
    assert returns.campaign.states()["p1"] == "bounced"
    assert returns.suppressed == {}


def test_those_in_cc_of_a_row_are_told_apart_from_its_recipient(campaign: SmallCampaign):
    copied = 'to: recipients\ncc: ["{{ recipient.assistant }}"]'
    campaign.change("letters/open-letter.md", "to: recipients", copied)
    rows = "p1,p1@x.example,P1,Jo <Jo@y.example>\np2,p2@x.example,P2,\n"
    campaign.write("recipients.csv", f"id,email,name,assistant\n{rows}")
    campaign.change("letters/open-letter.md", ' of {{ recipient.town or "our town" }}', "")
    returns = Returns(campaign)
    to = {one: f"bounces+{returns.token(one)}@campaign.example" for one in ("p1", "p2")}
    returns.arrive(returns.dsn("p1", "5.1.1", UNKNOWN, to=to["p1"], named="jo@y.example"))
    assert [one["changed"] for one in read(returns)] == [[]]
    returns.arrive(
        returns.dsn("p1", "5.1.1", UNKNOWN, to=to["p1"]),
        f"From: jo@y.example\nTo: {to['p1']}\nSubject: unsubscribe\n\nRemove me.\n",
        returns.dsn("p2", "5.1.1", UNKNOWN, to=to["p2"]),
    )
    changed = [one["changed"] for one in read(returns)]
    assert changed == [["bounced"], ["unclassified"], ["bounced", "suppressed"]]
    assert list(returns.suppressed) == ["p2"]
