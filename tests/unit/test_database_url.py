import re

import pytest

from petition.database_url import (
    AddressUnreadable,
    PostgresAddress,
    check_log_address,
    with_tls,
    without_ambient_secrets,
)

psycopg = pytest.importorskip("psycopg")

READABLE = [
    "postgresql://kim:p%40ss@db.example:5433/letters",
    "postgresql://db.example",
    "postgresql://db.example:/letters",
    "postgres://a.example,b.example:7/letters?target_session_attrs=any",
    "postgresql://[::1]:5433/letters",
    "postgresql:///letters?host=/run/postgresql&port=5433",
    "postgresql://%2Frun%2Fpostgresql/letters",
    "postgresql://kim@db.example/letters?options=-csearch_path%3Dcampaign",
    "postgresql://kim@db.example/a+b?application_name=a+b",
]
# What libpq reads in another way than a person means it, or not at all.
UNREADABLE = [
    "postgresql://kim:hunter@2@db.example/letters",
    "postgresql://kim:hun/ter2@db.example/letters",
    "postgresql://kim:hun?ter2@db.example/letters",
    "postgresql://kim:hun#ter2@db.example/letters",
    "postgresql://kim:hun ter2@db.example/letters",
    "postgresql://kim:hunter2/letters",
    "postgresql://hun%40ter2/letters",
    "postgresql://db.example/letters?hunter2",
    "postgresql://[::1/letters",
    "postgresql://%2Frun%2Cdb.example/letters",
    "postgresql:/letters",
]


@pytest.mark.parametrize("url", READABLE)
def test_an_address_is_read_as_postgresql_reads_it(url: str):
    address, theirs = PostgresAddress.parse(url), psycopg.conninfo.conninfo_to_dict(url)
    hosts = ",".join(host.strip("[]") for host, _ in address.hosts)
    assert (address.options.get("host") or hosts) == (theirs.get("host") or "")
    assert address.database == theirs.get("dbname", "")
    assert address.has_password == ("password" in theirs)
    for name, value in address.options.items():
        assert theirs[name] == value
    assert "p@ss" not in address.name
    assert "kim" not in address.name


@pytest.mark.parametrize("url", UNREADABLE)
def test_what_could_be_read_in_two_ways_is_refused_and_not_quoted(url: str):
    with pytest.raises(AddressUnreadable) as refused:
        check_log_address(url)
    assert not re.search("hun|ter2", str(refused.value))


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("postgresql:///letters", True),
        ("postgresql://localhost,127.0.0.9/letters", True),
        ("postgresql://[::1]/letters", True),
        ("postgresql:///letters?host=/run/postgresql", True),
        ("postgresql://localhost/letters?hostaddr=192.0.2.7", False),
        ("postgresql://localhost/letters?host=db.example", False),
        ("postgresql://localhost,db.example/letters", False),
        ("postgresql://db.example/letters", False),
    ],
)
def test_beyond_this_machine_the_server_must_prove_who_it_is(url: str, is_local: bool):
    theirs = psycopg.conninfo.conninfo_to_dict(with_tls(url))
    assert theirs.get("sslmode") == (None if is_local else "verify-full")


def test_the_local_socket_can_be_elsewhere_by_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGHOST", "db.example")
    assert "sslmode=verify-full" in with_tls("postgresql:///letters")


def test_a_person_can_say_otherwise_of_tls():
    url = "postgresql://db.example/letters?sslmode=require"
    assert with_tls(url) == url
    assert not PostgresAddress.parse(url).is_verified


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ("hostaddr=192.0.2.7", "hostaddr"),
        ("password=x", "password"),
        ("passfile=/home/kim/passwords", "passfile"),
        ("service=production", "service"),
        ("sslrootcert=their.crt", "sslrootcert"),
        ("sslkey=/home/kim/.ssh/id_rsa", "sslkey"),
        ("host=other.example", "host"),
        ("host=/tmp", "host"),
        ("options=-csearch_path%3Dx -cfsync%3Doff".replace(" ", "%20"), "options"),
        ("user=postgres", "user"),
        ("sslmode=require&connect_timeout=5&options=-csearch_path%3Dwater", None),
    ],
)
def test_what_a_folder_may_say_of_a_database(options: str, refused: str | None):
    assert (
        PostgresAddress.parse(f"postgresql://h.example/x?{options}").forbidden_option() == refused
    )


def test_a_folder_names_no_server_behind_a_socket():
    address = PostgresAddress.parse("postgresql:///x?host=/run/postgresql,db.example")
    assert address.forbidden_option() == "host"


def test_nothing_of_the_environment_goes_to_what_a_folder_names():
    url = without_ambient_secrets("postgresql://h.example/x?sslmode=require")
    theirs = psycopg.conninfo.conninfo_to_dict(url)
    assert (theirs["password"], theirs["hostaddr"], theirs["host"]) == ("", "", "h.example")
