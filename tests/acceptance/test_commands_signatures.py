"""petition signatures: a list, decisions, and the file that letters are made from."""

import csv
import json
from pathlib import Path

import pytest

from petition.outbox import service
from petition.outbox import signatures as kept
from petition.outbox.service import ServiceKind
from petition.outbox.signatures import Review
from tests.acceptance.signing import WORDS, desk_of, log_of, sign, taking_signatures, withdraw
from tests.acceptance.small import SmallCampaign


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    campaign = taking_signatures(SmallCampaign.at(tmp_path))
    sign(campaign, "cid@x.example", "Cid Öz", organisation="Союз", place="Leeds")
    sign(campaign, "dee@x.example", "Dee Two", confirms=False)
    sign(campaign, "union@x.example", "Союз", kind="organisation", publish=False)
    return campaign


def standings(campaign: SmallCampaign, *who: str) -> dict[str, str]:
    found = campaign.petition("signatures", *who, "--json", status=0).json["signatures"]
    return {one["email"].partition("@")[0]: one["standing"] for one in found}


def rows(campaign: SmallCampaign) -> list[dict[str, str]]:
    text = (campaign.root / "signatories.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_the_list_is_searched_as_names_are_compared(campaign: SmallCampaign):
    everybody = {"cid": "waiting", "dee": "unconfirmed", "union": "waiting"}
    assert standings(campaign) == everybody
    assert standings(campaign, "cid öz") == {"cid": "waiting"}
    assert standings(campaign, "oz") == {"cid": "waiting"}
    assert standings(campaign, "СОЮЗ") == {"cid": "waiting", "union": "waiting"}
    assert standings(campaign, "DEE@x.example") == {"dee": "unconfirmed"}
    assert standings(campaign, "--standing", "unconfirmed") == {"dee": "unconfirmed"}
    assert standings(campaign, "nobody") == {}
    table = campaign.petition("signatures", status=0).out
    assert "Cid Öz, Союз, Leeds" in table
    listed = campaign.petition("signatures", "--csv", status=0).out
    assert len(list(csv.DictReader(listed.splitlines()))) == 3


def test_only_what_was_confirmed_can_be_approved(campaign: SmallCampaign):
    refused = campaign.petition("signatures", "--approve", "cid@x.example", "dee", status=2)
    assert "has not been confirmed" in refused.err
    assert standings(campaign)["cid"] == "waiting"
    campaign.petition("signatures", "--approve", "nobody", status=2)
    campaign.petition("signatures", "--approve", "союз", status=2)  # two of them
    campaign.petition("signatures", "--approve", "all", status=0)
    assert standings(campaign) == {"cid": "approved", "dee": "unconfirmed", "union": "approved"}
    campaign.petition("signatures", "--hide", "cid@x.example", status=0)
    assert standings(campaign)["cid"] == "hidden"
    withdraw(campaign, "union@x.example")
    assert "withdrawn" in campaign.petition("signatures", "--approve", "3", status=2).err


def test_the_log_tells_what_happened_with_a_signature(campaign: SmallCampaign):
    campaign.petition("signatures", "--hide", "cid@x.example", status=0)
    withdraw(campaign, "union@x.example")
    everything = campaign.petition("log", "--json", status=0).json
    steps = [(one["email"], one["step"], one["how"]) for one in everything["signature_steps"]]
    cid = [("cid@x.example", "signed", "form"), ("cid@x.example", "confirmed", "link")]
    assert steps[:2] == cid
    assert steps[-2:] == [
        ("cid@x.example", "hidden", "by hand"),
        ("union@x.example", "withdrew", "link"),
    ]
    for who in ("CID@x.example", "cid oz"):
        told = campaign.petition("log", who, "--json", status=0).json
        found = [(one["email"], one["step"], one["how"]) for one in told["signature_steps"]]
        assert found == [*cid, ("cid@x.example", "hidden", "by hand")]
    assert "union" not in campaign.petition("log", "cid@x.example", status=0).out
    shown = campaign.petition("log", status=0).out
    assert shown.index("cid@x.example signed") < shown.index("cid@x.example was hidden")
    campaign.petition("log", "nobody@x.example", status=2)


def test_the_log_of_several_people_of_one_name_is_in_order_too(campaign: SmallCampaign):
    sign(campaign, "cid@y.example", "Cid Öz")
    campaign.petition("signatures", "--hide", "cid@x.example", status=0)
    told = campaign.petition("log", "cid oz", "--json", status=0).json["signature_steps"]
    moments = [one["at"] for one in told]
    assert moments == sorted(moments)
    assert (told[0]["email"], told[-1]["email"]) == ("cid@x.example",) * 2
    assert "cid@y.example" in {one["email"] for one in told}


def test_what_counts_is_added_to_the_file_and_nothing_else_changes(campaign: SmallCampaign):
    before = (campaign.root / "signatories.csv").read_bytes()
    said = campaign.petition("signatures", "--export", status=0)
    assert (campaign.root / "signatories.csv").read_bytes() == before  # nobody was approved
    campaign.petition("signatures", "--approve", "all", status=0)
    said = campaign.petition("signatures", "--export", status=0)
    assert "It has no column organisation: 1 row went without it" in said.out
    after = (campaign.root / "signatories.csv").read_bytes()
    assert after.startswith(before)
    assert rows(campaign)[-2:] == [
        {"name": "Cid Öz", "kind": "individual", "email": "cid@x.example", "publish": "yes"},
        {"name": "Союз", "kind": "organisation", "email": "union@x.example", "publish": "no"},
    ]
    campaign.petition("signatures", "--export", status=0)
    assert (campaign.root / "signatories.csv").read_bytes() == after
    campaign.petition("check", status=0)
    shown = campaign.petition("preview", "open-letter", status=0).out
    assert "Cid Öz" in shown
    assert "Союз" not in shown
    assert "5 signed" in shown


def test_what_a_person_wrote_in_the_file_stays(campaign: SmallCampaign):
    sign(campaign, "ANN@x.example", "Annie Reed", review=Review.APPROVED)
    campaign.petition("signatures", "--export", status=0)
    told = campaign.petition("signatures", "--export", "--json", status=0).json
    assert told["differing"] == [{"line": 3, "email": "ANN@x.example", "columns": ["name"]}]
    assert [one["name"] for one in rows(campaign)] == ["River Friends", "Ann Reed", "Bea Shy"]


def test_a_file_that_cannot_say_it_is_refused(campaign: SmallCampaign):
    campaign.petition("signatures", "--approve", "all", status=0)
    campaign.write("signatories.csv", "name,email\nAnn Reed,ann@x.example\n")
    refused = campaign.petition("signatures", "--export", status=1)
    assert 'has no column "publish"' in refused.err
    campaign.write("signatories.csv", "name,email,publish\nAnn Reed,ann@x.example,yes\n")
    assert 'has no column "kind"' in campaign.petition("signatures", "--export", status=1).err
    campaign.change("petition.toml", "[sign]", '[people]\nsignatories = "who.xlsx"\n\n[sign]')
    campaign.write("who.xlsx", b"PK")
    refused = campaign.petition("signatures", "--export", status=1)
    assert "is a spreadsheet" in refused.err


def test_duplicates_are_found_by_name_and_merged_by_a_person(campaign: SmallCampaign):
    sign(campaign, "cid@y.example", "Cid  OZ")
    sign(campaign, "other@y.example", "Cid Öz", kind="organisation")
    found = campaign.petition("signatures", "--merge", "--json", status=0).json["pairs"]
    assert found == [{"id": 4, "into": 1}]
    said = campaign.petition("signatures", "--merge", status=0).out
    assert "petition signatures --merge 4 1" in said
    assert standings(campaign, "4") == {"cid": "waiting"}
    campaign.petition("signatures", "--merge", "4", "4", status=2)
    campaign.petition("signatures", "--merge", "4", "1", status=0)
    assert standings(campaign, "4") == {"cid": "hidden"}
    assert standings(campaign, "1") == {"cid": "waiting"}
    with log_of(campaign) as log:
        assert [one.what for one in kept.events(log, 4)] == ["signed", "confirmed", "merged"]


def test_a_duplicate_that_nobody_approved_is_the_one_that_is_hidden(campaign: SmallCampaign):
    sign(campaign, "cid@y.example", "Cid Öz", review=Review.APPROVED)
    sign(campaign, "cid@z.example", "Cid Öz")
    campaign.petition("signatures", "--merge", "--yes", status=0)
    assert standings(campaign, "4") == {"cid": "approved"}
    assert standings(campaign, "1") == standings(campaign, "5") == {"cid": "hidden"}


def test_a_person_is_asked_on_a_terminal(campaign: SmallCampaign):
    sign(campaign, "cid@y.example", "Cid Öz")
    terminal = campaign.on_terminal("signatures", "--merge")
    terminal.expect(r"\[y/N\]")
    terminal.send("y\n")
    assert terminal.end()[0] == 0
    assert standings(campaign, "4") == {"cid": "hidden"}


def test_what_changes_before_it_is_approved_is_not_approved(campaign: SmallCampaign):
    terminal = campaign.on_terminal("signatures", "--approve", "all")
    terminal.expect(r"\[y/N\]")
    with log_of(campaign) as log:
        [one] = kept.signatures_of(log, "cid@x.example")
        entry = one.entry._replace(name="Vote for Cid")
        desk_of(campaign, log).change(one, entry, WORDS, "link")
    terminal.send("y\n")
    status, said = terminal.end()
    assert status == 2
    assert "cid@x.example has changed" in " ".join(said.split())
    assert set(standings(campaign).values()) == {"waiting", "unconfirmed"}
    for answer, expected in (("n", "waiting"), ("y", "approved")):
        terminal = campaign.on_terminal("signatures", "--approve", "1")
        terminal.expect_exact("Vote for Cid")
        terminal.expect(r"\[y/N\]")
        terminal.send(f"{answer}\n")
        terminal.end()
        assert standings(campaign, "1") == {"cid": expected}


def test_a_row_that_a_spreadsheet_would_compute_is_told(campaign: SmallCampaign):
    sign(campaign, "+eve@x.example", "Eve", review=Review.APPROVED)
    sign(campaign, "fay@x.example", "Fay", review=Review.APPROVED)
    said = campaign.petition("signatures", "--export", status=1)
    assert "+eve@x.example" in said.out
    assert [one["name"] for one in rows(campaign)][-1] == "Fay"
    told = campaign.petition("signatures", "--export", "--json", status=1).json
    assert told["refused"] == ["+eve@x.example"]


def test_who_hides_what_was_exported_is_told_where_it_is(campaign: SmallCampaign):
    campaign.petition("signatures", "--approve", "all", status=0)
    campaign.petition("signatures", "--export", status=0)
    said = campaign.petition("signatures", "--hide", "cid@x.example", status=0).out
    assert "signatories.csv:5 still has it" in said


def test_the_table_fits_a_terminal(campaign: SmallCampaign):
    sign(campaign, "a-long-address-of-somebody@organisation.example", "Long " * 12)
    _, said = campaign.on_terminal("signatures").end()
    lines = [line for line in said.splitlines() if not line.startswith("\x1b")]
    assert max(map(len, lines)) < 100
    json.dumps(lines)


def test_status_tells_of_mails_that_a_dead_program_left(campaign: SmallCampaign):
    with log_of(campaign) as log:
        with log.writing():
            for who in ("dee@x.example", "eve@x.example"):
                what = (log, ServiceKind.CONFIRM, who, 1, "campaign.example")
                service.add(*what, lambda _: b"", campaign="water")
        assert service.mark(log, service.due(log, 1)[0], "a dead one", "login", lambda _: None)
    assert "Mails to signatories: 1 queued, 1 uncertain" in campaign.petition("status").out
