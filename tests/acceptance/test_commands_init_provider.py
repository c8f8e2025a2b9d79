"""petition init --provider: a campaign for a mail provider."""

import re
import tomllib
from pathlib import Path

import pytest

from petition.cli.provider import find_provider, providers
from tests.acceptance.small import SmallCampaign

PAGE = (Path(__file__).parents[2] / "docs/providers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", providers())
def test_the_campaign_of_a_provider_is_read_as_it_was_meant(name: str, tmp_path: Path):
    provider = providers()[name]
    said = SmallCampaign(tmp_path).petition("init", "c", "--provider", name.upper(), status=0).out
    settings = tomllib.loads((tmp_path / "c/petition.toml").read_text(encoding="utf-8"))
    assert settings["smtp"] == provider.smtp
    assert settings["pace"] == provider.pace
    assert settings["campaign"]["title"] == "Keep the Harbour Library open"
    for one in provider.fill_in:
        assert one in " ".join(said.split())
    campaign = SmallCampaign(tmp_path / "c")
    checked = campaign.petition("check", "--json", status=0 if name == "postfix" else 1).json
    errors = [each for each in checked["problems"] if each["level"] == "error"]
    made_up = ("reserved for examples", "is as petition init wrote it")
    assert all(any(text in each["what"] for text in made_up) for each in errors)
    campaign.petition("send", "open-letter", "--dry-run", status=0 if name == "postfix" else 1)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("Gmail", "gmail"),
        ("Outlook", "microsoft365"),
        ("Office 365", "microsoft365"),
        ("Microsoft 365", "microsoft365"),
        ("SES", "amazon-ses"),
        ("Amazon SES", "amazon-ses"),
        ("amazon_ses", "amazon-ses"),
        ("local", "postfix"),
    ],
)
def test_a_provider_goes_by_other_names(asked: str, name: str):
    assert find_provider(asked).name == name


@pytest.mark.parametrize("asked", ["gmial", "fastmial", "mailgunn", "posmark", "outlok"])
def test_an_unknown_provider_makes_nothing_and_tells_the_nearest(asked: str, tmp_path: Path):
    answer = SmallCampaign(tmp_path).petition("init", "c", "--provider", asked, status=2)
    near = {"gmial": "gmail", "fastmial": "fastmail", "mailgunn": "mailgun", "posmark": "postmark"}
    said = " ".join(answer.err.split())
    assert f"Did you mean {near.get(asked, 'microsoft365')}?" in said
    assert not (tmp_path / "c").exists()


def test_the_page_has_the_numbers_of_the_data():
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", PAGE, re.MULTILINE)
    table = {name: cells.split(" | ") for name, cells in rows if len(cells.split(" | ")) == 7}
    assert list(table) == list(providers())
    for name, each in providers().items():
        host, port, security, _, rate, per_day, where = table[name]
        smtp = each.smtp
        assert [host, port, security] == [str(smtp[key]) for key in ("host", "port", "security")]
        assert rate == each.pace.get("rate", "none")
        assert per_day == str(each.pace.get("per_day", "none"))
        assert each.source in where
        assert f"{each.checked}" in PAGE
