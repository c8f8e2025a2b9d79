"""petition provider: what it changes in a petition.toml, and what it leaves to the person."""

import tomllib

import pytest

from petition.cli.provider import providers
from petition.trust import unconfirmed
from tests.acceptance.small import SETTINGS, SmallCampaign

OWN = f"""# Ours.
{SETTINGS}
# Comments stay, and so does the order.
[inbox]
url = "maildir:answers" # from fetchmail

[smtp]   # how it goes
username = "ann@campaign.example"      # my login
host = "smtp.gmail.com" # old
port = 587

[pace]
per_day = 100  # my own number
"""


def settings(campaign: SmallCampaign) -> dict:
    return tomllib.loads((campaign.root / "petition.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", providers())
def test_a_campaign_gets_what_a_new_one_would_have(campaign: SmallCampaign, name: str):
    campaign.petition("provider", name, "--yes", status=0)
    found = settings(campaign)
    login = providers()[name].smtp.get("username")
    own = "letter@campaign.example" if login == "letters@example.org" else login or ""
    wanted = providers()[name].tables(own)
    assert {table: found[table] for table in wanted} == wanted
    assert found["campaign"]["title"] == "Clean water for Leeds"
    campaign.petition("status", status=0)  # the settings are valid
    again = campaign.petition("provider", name, "--yes", status=0)
    assert "already" in again.out


@pytest.mark.parametrize("before", providers())
@pytest.mark.parametrize("after", providers())
def test_one_provider_takes_the_place_of_another(campaign: SmallCampaign, before: str, after: str):
    campaign.petition("provider", before, "-y", status=0)
    campaign.petition("provider", after, "-y", status=0)
    found, wanted = settings(campaign), providers()[after]
    login = {"username": found["smtp"].get("username")} if "username" in found["smtp"] else {}
    assert found["smtp"] == wanted.smtp | login
    assert found["pace"] == wanted.pace
    text = (campaign.root / "petition.toml").read_text("utf-8")
    assert all(note in text for note in wanted.notes)
    others = [note for note in providers()[before].notes if before != after]
    assert not any(note in text for note in others)
    campaign.petition("status", status=0)


def test_what_a_person_wrote_stays(campaign: SmallCampaign):
    campaign.write("petition.toml", OWN)
    said = campaign.petition("provider", "fastmail", "-y", status=0).out
    assert "per_day" not in said.partition("---")[2].replace(" per_day = 100", "")
    text = (campaign.root / "petition.toml").read_text("utf-8")
    wanted = OWN.replace('"smtp.gmail.com" # old', '"smtp.fastmail.com" # old')
    wanted = wanted.replace("port = 587\n", 'port = 465\nsecurity = "tls"\n')
    assert text == wanted


def test_what_stands_below_the_starters_last_lines_stays(tmp_path):
    place = SmallCampaign(tmp_path)
    place.petition("init", status=0)
    path = tmp_path / "petition.toml"
    own = "# Slowly.\n[pace]\nper_day = 40\n"
    path.write_text(path.read_text("utf-8") + own, "utf-8")
    place.petition("provider", "gmail", "-y", status=0)
    text = path.read_text("utf-8")
    assert own in text
    assert "uncomment these lines" not in text


def test_numbers_of_ones_own_are_kept_and_named(campaign: SmallCampaign):
    campaign.write("petition.toml", OWN)
    said = campaign.petition("provider", "gmail", "-y", status=0).out
    assert "Kept: [pace] per_day = 100" in said
    assert 'Kept: [inbox] url = "maildir:answers"' in said
    assert settings(campaign)["pace"] == {"per_day": 100}


def test_a_server_of_ones_own_is_replaced_only_by_a_person_who_sees_it(campaign: SmallCampaign):
    own = OWN.replace("smtp.gmail.com", "mail.own.example")
    campaign.write("petition.toml", own)
    answer = campaign.petition("provider", "gmail", "-y", status=2)
    assert "mail.own.example" in answer.err
    assert (campaign.root / "petition.toml").read_text("utf-8") == own
    for reply, status in (("n", 2), ("y", 0)):
        child = campaign.on_terminal("provider", "gmail")
        child.expect_exact("[y/N]")
        child.send(f"{reply}\n")
        assert child.end()[0] == status
    assert settings(campaign)["smtp"]["host"] == "smtp.gmail.com"


def test_without_a_terminal_nothing_is_changed(campaign: SmallCampaign):
    before = (campaign.root / "petition.toml").read_bytes()
    campaign.petition("provider", "gmail", status=2)
    assert (campaign.root / "petition.toml").read_bytes() == before
    assert [path.name for path in campaign.root.iterdir() if "toml" in path.name] == [
        "petition.toml"
    ]


def test_lines_end_as_they_did_and_the_file_keeps_its_mode(campaign: SmallCampaign):
    path = campaign.root / "petition.toml"
    path.write_bytes(OWN.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    campaign.petition("provider", "fastmail", "-y", status=0)
    data = path.read_bytes()
    assert data.count(b"\n") == data.count(b"\r\n") > 10
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "smtp",
    [
        'smtp = { host = "smtp.gmail.com" }\n',
        '[smtp]\nhost = """\\\nsmtp.gmail.com"""\n',
    ],
)
def test_settings_that_cannot_be_changed_line_by_line_are_named(campaign: SmallCampaign, smtp: str):
    text = smtp + SETTINGS if smtp.startswith("smtp") else SETTINGS + smtp
    campaign.write("petition.toml", text)
    answer = campaign.petition("provider", "fastmail", "-y", status=2)
    assert "[smtp] host" in answer.err
    assert (campaign.root / "petition.toml").read_text("utf-8") == text


def test_dotted_keys_are_changed_where_they_stand(campaign: SmallCampaign):
    campaign.write("petition.toml", 'smtp.host = "smtp.gmail.com"\n' + SETTINGS)
    campaign.petition("provider", "gmail", "-y", status=2)  # a port has no place to go to
    smtp = "".join(
        f"smtp.{key} = {value}\n"
        for key, value in {"host": '"x.example"', "port": 1, "security": '"none"'}.items()
    )
    campaign.write("petition.toml", smtp + 'smtp.username = "a@x.example"\n' + SETTINGS)
    child = campaign.on_terminal("provider", "gmail")
    child.expect_exact("[y/N]")
    child.send("y\n")
    assert child.end()[0] == 0
    assert settings(campaign)["smtp"]["port"] == 587


def test_broken_settings_are_told_and_left(campaign: SmallCampaign):
    campaign.change("petition.toml", "reply_to", "replyto")
    before = (campaign.root / "petition.toml").read_bytes()
    assert "replyto" in campaign.petition("provider", "gmail", "-y", status=1).err
    assert (campaign.root / "petition.toml").read_bytes() == before


def test_the_servers_are_confirmed_and_nothing_else(campaign: SmallCampaign):
    from petition.campaign.folder import read_settings
    from petition.trust import requests

    command = 'username = "ann@campaign.example"\npassword_command = "touch ran"\n'
    campaign.write("petition.toml", f"{SETTINGS}[smtp]\nhost = 'smtp.gmail.com'\n{command}")
    campaign.petition("provider", "gmail", "-y", status=0)
    read = read_settings(campaign.root).settings
    assert read is not None
    left = unconfirmed(requests(read, {}, campaign.root), campaign.root)
    assert [one.key for one in left] == ["[smtp] password_command"]
    assert not (campaign.root / "ran").exists()


def test_a_mailbox_of_ones_own_keeps_its_login(campaign: SmallCampaign):
    campaign.write("petition.toml", f'{SETTINGS}\n[inbox]\nurl = "maildir:answers"\n')
    campaign.petition("provider", "microsoft365", "-y", status=0)
    assert settings(campaign)["inbox"] == {"url": "maildir:answers"}
    campaign.petition("status", status=0)  # the settings are valid


def test_settings_that_would_be_invalid_are_not_written(campaign: SmallCampaign):
    own = "".join(f'{key}_url = "https://login.example/{key}"\n' for key in ("authorize", "token"))
    campaign.write("petition.toml", f'{SETTINGS}\n[oauth]\nclient_id = "x"\nscope = "s"\n{own}')
    before = (campaign.root / "petition.toml").read_bytes()
    assert "token_url" in campaign.petition("provider", "microsoft365", "-y", status=2).err
    assert (campaign.root / "petition.toml").read_bytes() == before


def test_a_mailbox_that_the_folder_named_before_is_not_confirmed(campaign: SmallCampaign):
    inbox = '\n[inbox]\nurl = "imaps://you@stranger.example/INBOX"\n'
    campaign.write("petition.toml", SETTINGS + inbox)
    campaign.petition("provider", "gmail", "-y", status=0)
    asked = campaign.petition("trust", "--json", status=0).json["requests"]
    assert [one["key"] for one in asked if one["confirmed"]] == ["[smtp] host"]


def test_the_providers_are_listed_without_a_campaign(tmp_path):
    shown = SmallCampaign(tmp_path).petition("provider", status=0).out
    assert [line.split()[0] for line in shown.splitlines()[1:-1]] == list(providers())
    assert "gmail" in SmallCampaign(tmp_path).petition("provider", "gmial", status=2).err
