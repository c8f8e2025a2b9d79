"""Who signs with somebody else's name, and leaves again, takes nobody else out of a letter."""

from pathlib import Path

import pytest

from petition.outbox.signatures import Review
from tests.acceptance.crew import wait_until
from tests.acceptance.signing import hide_name, sign, withdraw
from tests.acceptance.signing_mails import Asked, mail, signing_campaign
from tests.acceptance.small import SmallCampaign
from tests.acceptance.test_withdrawn import text_to
from tests.servers.counting import CountingServer
from tests.servers.endpoint import running_endpoint
from tests.servers.signatory import ANN, AT_ONCE, ask
from tests.servers.signatory import sign as fill_in

EVE = "eve@y.example"
HEADER = "name,kind,email,publish\nRiver Friends,organisation,,yes\n"
OTHERS = "Ann Reed,individual,ann@x.example,yes\n"
NOBODYS = "ANN  REED,individual,,yes\n"
UNNAMED = "Ann Reed,individual,ann@x.example,no\n"
OWN = f"Ann Reed,individual,{EVE},yes\n"


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    for name in ("cur", "new", "tmp"):
        (tmp_path / "mail" / name).mkdir(parents=True)
    campaign = SmallCampaign.at(tmp_path).through(server.port)
    page = 'page = "https://campaign.example/sign"\n'
    campaign = signing_campaign(campaign, "maildir:mail", more=page).trust()
    counted = "{{ signatories | length }} signed:\n\n{{ signatories }}"
    campaign.change("letters/open-letter.md", "{{ signatories }}", counted)
    return campaign


def list_signatories(campaign: SmallCampaign, *rows: str) -> None:
    campaign.write("signatories.csv", HEADER + "".join(rows))


def begin(campaign: SmallCampaign) -> None:
    """Send the letter to one of three people."""
    campaign.petition("send", "open-letter", "--limit", "1", "--yes", status=0)


def last_copy(campaign: SmallCampaign, server: CountingServer) -> str:
    """The copy that goes out last: nobody has to say a word for it."""
    campaign.petition("send", "open-letter", "--yes", status=0)
    return text_to(server, "p3")


def approve(campaign: SmallCampaign) -> None:
    campaign.petition("signatures", "--approve", EVE, "--yes", status=0)


def leave_by_link(
    campaign: SmallCampaign, server: CountingServer, *, approved: bool, **change: str
) -> None:
    """Eve signs with the form as Ann Reed, confirms that, and withdraws or changes it."""
    with running_endpoint(campaign, "--sign", before=AT_ONCE) as (base, _):
        fill_in(base, ANN | {"email": EVE})
        wait_until(lambda: EVE in server.last)
        link = f"{base}/sign/{Asked(server.last[EVE]).token}"
        ask(link, ask(link).form.fields)
        if approved:
            approve(campaign)
        fields = ask(link).form.fields | {"do": "change"} | change
        ask(link, fields if change else {"do": "withdraw"})


def leave_by_mail(campaign: SmallCampaign, server: CountingServer, *, approved: bool) -> None:
    """Eve signs by mail as Ann Reed, confirms that, and withdraws."""
    sender = f"Ann Reed <{EVE}>"

    def read(number: int, data: bytes) -> list[str]:
        (campaign.root / "mail/new" / f"{number}.m.host").write_bytes(data)
        rows = campaign.petition("inbox", "--json", status=0).json["mails"]
        return [change for row in rows for change in row["changed"]]

    shown = "My name may be shown: yes\n"
    assert read(1, bytes(mail(sender, text=shown))) == ["asked"]
    asked = Asked(server.last[EVE])
    assert read(2, bytes(asked.above(sender, "Yes"))) == ["confirmed"]
    if approved:
        approve(campaign)
    assert read(3, bytes(asked.above(sender, "I withdraw my signature."))) == ["withdrew"]


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("leave", [leave_by_link, leave_by_mail])
@pytest.mark.parametrize("row", [OTHERS, NOBODYS])
def test_the_name_in_somebody_elses_row_stays(campaign, server, row, leave, approved):
    list_signatories(campaign, row)
    begin(campaign)
    leave(campaign, server, approved=approved)
    copy = last_copy(campaign, server)
    assert "2 signed" in copy
    assert row.partition(",")[0].split()[-1] in copy


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("leave", [leave_by_link, leave_by_mail])
def test_the_name_in_a_row_of_ones_own_comes_out(campaign, server, leave, approved):
    list_signatories(campaign, OWN)
    begin(campaign)
    leave(campaign, server, approved=approved)
    copy = last_copy(campaign, server)
    assert "Ann Reed" not in copy
    assert "1 signed" in copy


@pytest.mark.parametrize("row", [OTHERS, NOBODYS])
def test_the_name_stays_beside_a_row_of_ones_own(campaign, server, row):
    list_signatories(campaign, row)
    sign(campaign, EVE, "Ann Reed", review=Review.APPROVED)
    campaign.petition("signatures", "--export", status=0)
    begin(campaign)
    withdraw(campaign, EVE)
    copy = last_copy(campaign, server)
    assert "2 signed" in copy
    assert row.partition(",")[0] in copy


@pytest.mark.parametrize("row", [OTHERS, NOBODYS])
def test_who_is_not_to_be_named_any_more_hides_nobody_elses_name(campaign, server, row):
    list_signatories(campaign, row, OWN)
    sign(campaign, EVE, "Ann Reed", review=Review.APPROVED)
    begin(campaign)
    hide_name(campaign, EVE)
    copy = last_copy(campaign, server)
    assert "2 signed" in copy
    assert row.partition(",")[0] in copy


def test_the_name_stays_when_a_stranger_changes_that_by_link(campaign, server):
    list_signatories(campaign, OTHERS)
    begin(campaign)
    leave_by_link(campaign, server, approved=False, publish="no")
    assert "Ann Reed" in last_copy(campaign, server)


def test_a_namesake_who_does_not_agree_to_be_named_is_counted(campaign, server):
    list_signatories(campaign, OWN)
    sign(campaign, EVE, "Ann Reed", review=Review.APPROVED)
    begin(campaign)
    list_signatories(campaign, OWN, UNNAMED)
    withdraw(campaign, EVE)
    copy = last_copy(campaign, server)
    assert "Ann Reed" not in copy
    assert "2 signed" in copy


def test_a_file_that_cannot_be_read_keeps_no_name(campaign, server):
    list_signatories(campaign, OTHERS)
    begin(campaign)
    sign(campaign, EVE, "Ann Reed")
    campaign.write("signatories.csv", "\x00")
    withdraw(campaign, EVE)
    list_signatories(campaign)
    assert "Ann Reed" not in last_copy(campaign, server)


def test_a_stranger_hides_no_name_on_the_site(campaign, server):
    list_signatories(campaign, OTHERS)
    begin(campaign)
    sign(campaign, EVE, "Ann Reed", publish=False, review=Review.APPROVED)
    with running_endpoint(campaign, "--sign") as (base, _):
        words = ask(f"{base}/sign").words
    assert "Ann Reed" in words
    assert "2 signatures" in words
