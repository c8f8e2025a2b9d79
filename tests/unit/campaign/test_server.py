import pytest

from petition.campaign.server import Server, database_of, find_server
from petition.campaign.settings import load_settings
from petition.errors import UsageError
from tests.unit.campaign.samples import Said


@pytest.fixture
def load(folder):
    def _load(more=""):
        text = '[campaign]\ntitle = "x"\n[sender]\nfrom = "a@b.example"\n' + more
        loaded, problems, _ = load_settings(folder.write("petition.toml", text))
        assert problems == []
        return loaded

    return _load


def test_without_a_host_the_sandbox_takes_the_letters(load):
    assert find_server(load().smtp, {}) is None
    assert find_server(load().smtp, {"PETITION_SMTP_PORT": "25", "PETITION_SMTP_HOST": ""}) is None


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_the_security(load, security, port):
    server = find_server(load(f'[smtp]\nhost = "localhost"\nsecurity = "{security}"\n').smtp, {})
    assert (server.port, server.security) == (port, security)
    assert server.name == f"localhost:{port}"


def test_the_environment_wins_value_by_value(load):
    settings = load('[smtp]\nhost = "a.example"\nusername = "kim"\nconnections = 2\n')
    environ = {
        "PETITION_SMTP_HOST": "::1",
        "PETITION_SMTP_PORT": "2525",
        "PETITION_SMTP_SECURITY": "none",
        "PETITION_SMTP_CONNECTIONS": "8",
        "PETITION_SMTP_TIMEOUT": "2.5",
        "PETITION_SMTP_PASSWORD": "hunter2",
    }
    assert find_server(settings.smtp, environ) == Server(
        "::1", 2525, "none", username="kim", connections=8, timeout=2.5
    )
    assert find_server(settings.smtp, environ).name == "[::1]:2525"
    environ = {"PETITION_SMTP_SECURITY": "tls", "PETITION_SMTP_USERNAME": "berik"}
    assert find_server(settings.smtp, environ) == Server(
        "a.example", 465, "tls", username="berik", connections=2
    )


def test_a_host_in_the_environment_is_enough(load):
    assert find_server(load().smtp, {"PETITION_SMTP_HOST": "A.example."}) == Server(
        "a.example", 587
    )


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("PORT", "smtp", 'PETITION_SMTP_PORT is "smtp", not a number'),
        ("PORT", "70000", "PETITION_SMTP_PORT: must be at most 65535"),
        ("CONNECTIONS", "0", "PETITION_SMTP_CONNECTIONS: must be at least 1"),
        ("TIMEOUT", "-1", "PETITION_SMTP_TIMEOUT: must be more than 0"),
        ("TIMEOUT", "nan", "PETITION_SMTP_TIMEOUT: Input should be a finite number"),
        ("SECURITY", "ssl", 'PETITION_SMTP_SECURITY: "ssl" is not "starttls", "tls" or "none"'),
        ("HOST", "a b", 'PETITION_SMTP_HOST: "a b" is not the name of a server'),
    ],
)
def test_an_impossible_variable_is_a_usage_error(load, variable, value, what):
    environ = {"PETITION_SMTP_HOST": "a.example", f"PETITION_SMTP_{variable}": value}
    with pytest.raises(UsageError) as refused:
        find_server(load().smtp, environ)
    assert Said(refused.value.what) == what


def test_only_loopback_is_spoken_to_without_encryption(load):
    settings = load('[smtp]\nhost = "a.example"\nsecurity = "none"\n')
    with pytest.raises(UsageError, match="encrypted"):
        find_server(settings.smtp, {})
    assert find_server(settings.smtp, {"PETITION_SMTP_HOST": "127.0.0.2"}).is_loopback


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False),
     ("localhost.a.example", False)],
)  # fmt: skip
def test_loopback_is_this_machine(host, is_loopback):
    assert Server(host, 25).is_loopback is is_loopback


SERVER = Server("a.example", 587)


def test_the_log_stands_in_the_campaign_folder(load, folder):
    root = folder.root
    assert database_of(load(), {}, root, SERVER) == f"sqlite:///{root / 'petition.db'}"
    named = load('[log]\ndatabase = "sqlite:///logs/a.db"\n')
    assert database_of(named, {}, root, SERVER) == f"sqlite:///{root / 'logs/a.db'}"
    absolute = load('[log]\ndatabase = "sqlite:////var/a.db"\n')
    assert database_of(absolute, {}, root, SERVER) == "sqlite:////var/a.db"


def test_the_environment_names_another_log_but_never_the_rehearsals(load, folder):
    environ = {"PETITION_DATABASE": "postgresql://kim:hunter2@h/letters"}
    assert database_of(load(), environ, folder.root, SERVER) == environ["PETITION_DATABASE"]
    rehearsal = f"sqlite:///{folder.root / 'rehearsal.db'}"
    assert database_of(load(), environ, folder.root, None) == rehearsal


def test_a_wrong_database_is_a_usage_error_that_does_not_quote_it(load, folder):
    with pytest.raises(UsageError) as refused:
        database_of(load(), {"PETITION_DATABASE": "mysql://hunter2"}, folder.root, SERVER)
    assert "hunter2" not in str(refused.value)
