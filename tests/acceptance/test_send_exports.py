"""Lists as other systems export them, and conditions on them, from the file to the server."""

import csv
import io
import shutil
from pathlib import Path

import pytest

from tests.acceptance.small import LETTER, SmallCampaign
from tests.servers.counting import CountingServer
from tests.unit.campaign.samples import SAMPLES

PLAIN = LETTER.replace('{{ recipient.town or "our town" }}', "our town")


@pytest.fixture
def campaign(tmp_path: Path, server: CountingServer) -> SmallCampaign:
    campaign = SmallCampaign.at(tmp_path)
    campaign.write("letters/open-letter.md", PLAIN)
    return campaign.through(server.port)


def take(campaign: SmallCampaign, sample: str, sheet: str = "") -> None:
    shutil.copy(SAMPLES / sample, campaign.root)
    settings = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    campaign.write("petition.toml", f'{settings}\n[people]\nrecipients = "{sample}{sheet}"\n')


def test_whom_an_export_excludes_is_suppressed_counted_and_never_written_to(
    campaign: SmallCampaign, server: CountingServer
):
    take(campaign, "action-network.csv")
    checked = campaign.petition("check", status=0)
    assert '"can2_subscription_status"' in checked.out
    assert "1 letter, 5 people: ready." in checked.out
    answer = campaign.petition("send", "open-letter", "--yes", status=0)
    assert "1 new" in answer.out
    assert "2 bounced before, 1 opted out, 1 unsubscribed" in answer.out
    assert dict(server.accepted) == {"amara.okonkwo@mailhub.example": 1}
    rows = csv.DictReader(io.StringIO(campaign.petition("status", "open-letter", "--csv").out))
    reasons = {row["email"].partition("@")[0]: (row["state"], row["reason"]) for row in rows}
    assert reasons["luis.pena"] == ("skipped", "unsubscribed")
    assert reasons["greta"] == ("skipped", "bounced before")
    again = campaign.petition("send", "open-letter", "--yes", "--again", status=0)
    assert "1 unsubscribed" in again.out
    assert server.accepted.total() == 2


def test_a_row_that_is_excluded_is_never_merged(campaign: SmallCampaign, server: CountingServer):
    campaign.change("letters/open-letter.md", "Dear {{ recipient.name }}", "Dear {{ recipient.x }}")
    campaign.write(
        "recipients.csv", "email,name,x,deceased\na@x.example,A,1,\nb@x.example,B,,yes\n"
    )
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert set(server.accepted) == {"a@x.example"}


def test_a_preview_is_of_one_who_gets_the_letter(campaign: SmallCampaign, tmp_path: Path):
    rows = "b@x.example,Bo,yes\na@x.example,Ann,\n"
    campaign.write("recipients.csv", f"email,name,deceased\n{rows}")
    assert "Dear Ann" in campaign.petition("preview", status=0).out
    named = campaign.petition("preview", "--to", "b@x.example", status=0)
    assert 'Bo <b@x.example> is "deceased" and gets no letter' in named.err
    campaign.petition("preview", "--save", str(tmp_path / "saved"), status=0)
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["002-a.eml"]


def test_a_guessed_encoding_is_told_by_check_and_by_send(campaign: SmallCampaign):
    take(campaign, "windows-1251.csv")
    for command in (["check"], ["send", "open-letter", "--dry-run"]):
        answer = campaign.petition(*command, status=0)
        assert "windows-1251.csv: note: read as Windows-1251 (Cyrillic)" in answer.out
        assert "Ольга" in answer.out
    notes = campaign.petition("check", "--json", status=0).json["problems"]
    assert [(note["line"], note["level"]) for note in notes] == [(None, "note"), (4, "warning")]


def test_a_sheet_is_sent_to(campaign: SmallCampaign, server: CountingServer):
    take(campaign, "people.xlsx", "#Directors")
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert set(server.accepted) == {"e.hartwell@mines.example", "v.kim@mines.example"}


LIST = "email,name,country,language\n" + "".join(
    f"p{number}@x.example,P{number},{country},{language}\n"
    for number, (country, language) in enumerate(
        [("GB", "en"), ("GB", "cy"), ("KZ", "ru"), ("GB", "ru"), ("GB", "")], 1
    )
)


@pytest.mark.parametrize(
    ("options", "reached"),
    [
        (["--where", "country == 'GB' and language != 'en'"], "245"),
        (["--where", "country == 'GB'", "--limit", "2"], "12"),
        (["--where", "country == 'GB'", "--to", "3", "--to", "p4@x.example"], "4"),
        (["--where", "not language"], "5"),
    ],
)
def test_a_condition_chooses_with_to_and_limit(
    campaign: SmallCampaign, server: CountingServer, options: list[str], reached: str
):
    campaign.write("recipients.csv", LIST)
    campaign.petition("send", "open-letter", "--yes", *options, status=0)
    assert set(server.accepted) == {f"p{number}@x.example" for number in reached}
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert dict(server.accepted) == {f"p{number}@x.example": 1 for number in range(1, 6)}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            "country = 'GB'",
            "--where: = is unexpected here\n    country = 'GB'\n            ^\nWrite ==",
        ),
        ("contry == 'GB'", "\n    contry == 'GB'\n    ^\nDid you mean country?"),
        ("country > 3", "compared with a number"),
        ("1 / 0", "for recipients.csv:2: division by zero"),
        ("country == 'FR'", "--where country == 'FR'"),
        ("", "--where is empty"),
    ],
)
def test_a_condition_that_cannot_be_met_does_nothing(
    campaign: SmallCampaign, server: CountingServer, condition: str, said: str
):
    campaign.write("recipients.csv", LIST)
    answer = campaign.petition("send", "open-letter", "--yes", "--where", condition, status=2)
    assert said in answer.err
    assert server.commands.total() == 0
    assert campaign.petition("status", "open-letter", "--json").json["total"] == 0


def test_people_who_could_be_one_are_pointed_out_and_written_to(
    campaign: SmallCampaign, server: CountingServer
):
    campaign.write(
        "recipients.csv",
        "email,name\na@x.example,Ann Reed\nb@x.example,Bo Li\nb@y.example,Bo Li\n",
    )
    answer = campaign.petition("check", status=0)
    assert 'warning: "Ann Reed" signs the letter too (signatories.csv:3)' in answer.out
    assert 'warning: "Bo Li" is in line 3 too, with another address' in answer.out
    assert "3 people, 2 warnings: ready." in answer.out
    campaign.petition("send", "open-letter", "--yes", status=0)
    assert server.accepted.total() == 3
