"""petition check --online, against a name server and a mail server on this machine."""

import subprocess

import pytest

from petition.credentials import Secret
from petition.smtp.dkim import public_record
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server
from tests.servers.zone import name_server

ZONE = {
    "campaign.example": {"TXT": ["v=spf1 mx -all"], "MX": ["10 mx.campaign.example."]},
    "mx.campaign.example": {"A": ["192.0.2.25"]},
    "_dmarc.campaign.example": {"TXT": ["v=DMARC1; p=quarantine"]},
}


@pytest.fixture
def online(campaign: SmallCampaign):
    """Runs `check --online` with a zone, by way of a server of its own."""

    def run(zone, *words, status, login=""):
        with name_server(zone) as names, counting_server(login=login) as server:
            through = campaign.through(server.port)
            through.env["PETITION_RESOLVER"] = names.place
            through.env.update(campaign.env)
            answer = through.petition("check", "--online", *words, status=status)
            assert server.commands["MAIL"] == server.commands["DATA"] == 0
            return answer

    return run


def test_a_sound_campaign_is_ready_with_a_line_for_each_finding(online):
    out = online(ZONE, status=0).out
    assert out.endswith("1 letter, 3 people: ready.\n")
    assert "campaign.example: note: SPF is there" in out
    assert "_dmarc.campaign.example: note: SPF is aligned with the From address" in out
    assert "note: the server answers on this machine, without encryption" in out


def test_a_missing_record_is_reported_with_what_to_publish(online):
    out = online(ZONE | {"_dmarc.campaign.example": {}}, status=0).out
    assert (
        "Publish: _dmarc.campaign.example. TXT"
        ' "v=DMARC1; p=none; rua=mailto:answers@campaign.example".'
    ) in out


def test_errors_exit_with_1_and_are_in_the_json(online):
    two = {"campaign.example": ZONE["campaign.example"] | {"TXT": ["v=spf1 -all", "v=spf1 mx"]}}
    found = online(ZONE | two, "--json", status=1).json["problems"]
    (wrong,) = [problem for problem in found if problem["level"] == "error"]
    assert (wrong["file"], wrong["line"]) == ("campaign.example", None)
    assert wrong["hint"].endswith('campaign.example. TXT "v=spf1 mx ~all"')


def test_a_refused_login_exits_with_4(campaign, online):
    campaign.env |= {"PETITION_SMTP_USERNAME": "ann", "PETITION_SMTP_PASSWORD": "not-this-one"}
    answer = online(ZONE, status=4, login="535 5.7.8 No")
    assert "535 5.7.8 No" in answer.out
    assert "not-this-one" not in answer.out + answer.err


def test_the_key_that_signs_is_compared_with_the_one_that_is_published(
    campaign, online, tmp_path_factory
):
    file = tmp_path_factory.mktemp("keys") / "key.pem"
    words = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(file)]
    subprocess.run(words, check=True, capture_output=True)
    file.chmod(0o600)
    table = f'\n[dkim]\ndomain = "campaign.example"\nselector = "s1"\nkey_file = "{file}"\n'
    campaign.change("petition.toml", 'id = "water"\n', f'id = "water"\n{table}')
    campaign.trust()
    record = public_record(Secret(file.read_text()))
    assert f'TXT "{record}".' in online(ZONE, status=1).out
    published = {"s1._domainkey.campaign.example": {"TXT": [record]}}
    out = online(ZONE | published, status=0).out
    assert "both SPF and DKIM are aligned" in out


def test_a_rehearsal_is_checked_as_far_as_possible(campaign):
    with name_server(ZONE) as names:
        campaign.env["PETITION_RESOLVER"] = names.place
        out = campaign.petition("check", "--online", status=0).out
    assert "no mail server" in out
    assert "SPF is there" in out


def test_errors_in_files_are_reported_with_the_rest(campaign, online):
    campaign.change("letters/open-letter.md", "recipient.town", "recipient.twon")
    out = online(ZONE, status=1).out
    assert "recipient.twon" in out
    assert "SPF is there" in out


def test_a_resolver_that_is_not_an_address_is_wrong_usage(campaign):
    campaign.env["PETITION_RESOLVER"] = "somewhere"
    assert "PETITION_RESOLVER" in campaign.petition("check", "--online", status=2).err
