from datetime import datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.address import Mailbox
from petition.campaign.pace import Between, Rate, Weekdays
from petition.campaign.settings import load_settings
from tests.unit.campaign.samples import Said

FULL = """
[campaign]
title = "Four demands"
id = "demands-2015"
languages = ["en", "pt-BR", "kk"]
timezone = "Europe/London"
[sender]
from = '"Kim, of the Campaign" <kim@КАМПАНИЯ.example>'
reply_to = "answers@campaign.example"
return_path = "bounces+{token}@campaign.example"
[people]
supporters = "lists/supporters.csv"
[smtp]
host = "SMTP.campaign.example"
port = 2525
security = "tls"
username = "kim"
password_command = "pass show smtp"
connections = 8
timeout = 30
[pace]
rate = "20/min"
per_day = 400
per_domain = { "Почта.example" = "2/s" }
between = "08:00-20:00"
[approval]
by = ["Bea Ash <bea@town.example>", "cleo@town.example"]
needed = 2
[events.protest]
title = "Protest"
starts = 2015-09-28T16:00:00
ends = 2015-09-28T17:00:00
place = "Victoria Street"
url = "https://campaign.example/protest"
[inbox]
url = "imaps://kim@imap.campaign.example/INBOX"
password_command = "pass show imap"
[unsubscribe]
url = "https://campaign.example/leave"
mailto = "mailto:leave@campaign.example"
[signatories]
yes = ["Show my name"]
[sign]
mailto = "Ann Reed <sign@campaign.example>"
url = "https://forms.example/sign"
[publish]
letter = "open-letter"
url = "https://campaign.example/letter"
names = true
documents = ["annex/press.pdf"]
[log]
database = "postgresql://db.campaign.example/letters"
"""


def load(folder, text):
    return load_settings(folder.write("petition.toml", text))[:2]


def faults(folder, text):
    """Line and what of every problem; what is needed stands in front of it."""
    needed = {"campaign": 'campaign.title = "x"', "sender": 'sender.from = "kim@a.example"'}
    lines = [line for table, line in needed.items() if f"[{table}]" not in text]
    _, problems = load(folder, "\n".join([*lines, text]))
    assert all(problem.is_error and problem.file == "petition.toml" for problem in problems)
    return [
        (problem.line and problem.line - len(lines), Said(problem.what)) for problem in problems
    ]


def hint_of(folder, text):
    _, problems = load(folder, text)
    assert len(problems) == 1, problems
    return problems[0].hint


def test_a_title_and_a_sender_are_enough(folder):
    loaded, problems, _ = load_settings(folder.root / "petition.toml")
    assert problems == []
    assert loaded.campaign.id == "four-demands"
    assert "id" not in loaded.campaign.model_fields_set
    assert loaded.campaign.languages == ("en",)
    assert loaded.campaign.timezone == "UTC"
    assert loaded.sender.from_ == Mailbox("Kim", "kim@campaign.example")
    assert loaded.sender.reply_to is None
    assert loaded.people == {"recipients": "recipients.csv", "signatories": "signatories.csv"}
    assert loaded.smtp is None
    assert loaded.pace.rate is None
    assert loaded.log.database == "sqlite:///petition.db"


def test_every_key_of_the_contract_is_read(folder):
    loaded, problems = load(folder, FULL)
    assert problems == []
    assert loaded.campaign.id == "demands-2015"
    assert "id" in loaded.campaign.model_fields_set
    assert loaded.campaign.languages == ("en", "pt-br", "kk")
    assert loaded.sender.from_.display_name == "Kim, of the Campaign"
    assert loaded.sender.from_.domain.startswith("xn--")
    assert loaded.sender.return_path == "bounces+{token}@campaign.example"
    assert loaded.people["supporters"] == "lists/supporters.csv"
    assert loaded.people["recipients"] == "recipients.csv"
    assert loaded.smtp.host == "smtp.campaign.example"
    assert loaded.smtp.timeout == 30
    assert loaded.pace.rate == Rate(20, 60)
    assert list(loaded.pace.per_domain.values()) == [Rate(2, 1)]
    assert next(iter(loaded.pace.per_domain)).startswith("xn--")
    assert loaded.pace.between == Between(time(8), time(20))
    assert loaded.events["protest"].starts == datetime(2015, 9, 28, 16)  # noqa: DTZ001 (local)
    assert loaded.unsubscribe.mailto == "leave@campaign.example"
    assert loaded.log.database == "postgresql://db.campaign.example/letters"
    assert loaded.signatories.yes == ("Show my name",)
    assert loaded.sign.mailto == Mailbox("Ann Reed", "sign@campaign.example")
    assert loaded.publish.documents == ("annex/press.pdf",)
    assert loaded.publish.names is True
    assert loaded.approval.by[0] == Mailbox("Bea Ash", "bea@town.example")
    assert loaded.approval.needed == 2


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[campaign]\nid = 'x'", 1, '"title" is missing in [campaign]'),
        ("[campaign]\ntitle = '?!'", 1, "id in [campaign]: this is empty"),
        ("[campaign]\ntitle = 'x'\nid = 'a b'", 3, 'id in [campaign]: "a b" is not an id'),
        ("[campaign]\ntitle = ''", 2, "title in [campaign]: this is empty"),
        ("[campaign]\ntitle = 5", 2, "title in [campaign]: this is not a text"),
        (
            '[campaign]\ntitle = "a\\nb"',
            2,
            "title in [campaign]: ... U+000A",
        ),
        (
            "[campaign]\ntitle = 'x'\nlanguages = []",
            3,
            "languages in [campaign]: this is not a list of languages",
        ),
        (
            "[campaign]\ntitle = 'x'\nlanguages = ['en', 'EN']",
            3,
            'languages in [campaign]: "en" ... twice',
        ),
        (
            "[campaign]\ntitle = 'x'\nlanguages = [\n'en',\n'English']",
            3,
            'languages in [campaign]: "English" is not a language tag',
        ),
        (
            "[campaign]\ntitle = 'x'\nlanguages = [5]",
            3,
            "languages in [campaign]: this is not a text",
        ),
        (
            "[campaign]\ntitle = 'x'\ntimezone = 'Mars/North'",
            3,
            'timezone in [campaign]: "Mars/North" is not a time zone',
        ),
        (
            "[campaign]\ntitle = 'x'\ntimezone = '../UTC'",
            3,
            'timezone in [campaign]: "../UTC" is not a time zone',
        ),
        ("[sender]\nreply_to = 'a@b.example'", 1, '"from" is missing in [sender]'),
        (
            "[sender]\nfrom = 'kim'",
            2,
            'from in [sender]: "kim" is not a mail address: An email address must have an @-sign',
        ),
        (
            "sender.return_path = 'b+{tokn}@a.example'",
            1,
            'return_path in [sender]: "{tokn}" is not known here',
        ),
        ("people.x = '../x.csv'", 1, 'x in [people]: "../x.csv" ... outside'),
        ("people.x = '/x.csv'", 1, 'x in [people]: "/x.csv" ... outside'),
        ("people.x = 'C:\\x'", 1, 'x in [people]: "C:\\x" ... outside'),
        ("people = 5", 1, "people must be a table"),
        ("[smtp]\nport = 25", 1, '"host" is missing in [smtp]'),
        (
            "[smtp]\nhost = 'smtp://a'",
            2,
            'host in [smtp]: "smtp://a" is not the name of a server',
        ),
        ("[smtp]\nhost = 'a'\nport = '25'", 3, "port in [smtp] must be a number"),
        ("[smtp]\nhost = 'a'\nport = true", 3, "port in [smtp] must be a number"),
        ("[smtp]\nhost = 'a'\nport = 0", 3, "port in [smtp] must be at least 1"),
        ("[smtp]\nhost = 'a'\nconnections = 65", 3, "connections in [smtp] must be at most 64"),
        ("[smtp]\nhost = 'a'\ntimeout = 0", 3, "timeout in [smtp] must be more than 0"),
        (
            "[smtp]\nhost = 'a'\nsecurity = 'ssl'",
            3,
            'security in [smtp]: "ssl" is not "starttls", "tls" or "none"',
        ),
        ("pace.rate = 'fast'", 1, 'rate in [pace]: "fast" is not a rate'),
        ("pace.rate = '0/s'", 1, 'rate in [pace]: "0/s" is not a rate'),
        ("pace.between = '8-20'", 1, 'between in [pace]: "8-20" is not a range of hours'),
        (
            "pace.between = '08:00-8:00'",
            1,
            'between in [pace]: "08:00-8:00" is not a range of hours',
        ),
        ("pace.days = 'weekdays'", 1, 'days in [pace]: "weekdays" does not name days of the week'),
        ("pace.days = 'mon-'", 1, 'days in [pace]: "mon-" does not name days of the week'),
        ("pace.grace = '2'", 1, 'grace in [pace]: "2" is not a duration'),
        ("pace.per_day = 0", 1, "per_day in [pace] must be at least 1"),
        (
            "pace.per_domain = { 'a.example' = '2' }",
            1,
            'per_domain in [pace]: "2" is not a rate',
        ),
        ("pace.per_domain = '2/s'", 1, "per_domain in [pace]: this is not a table of domains"),
        (
            "[events.a]\ntitle = 'x'\nstarts = '2015'",
            3,
            "starts in [events.a]: ... time",
        ),
        (
            "[events.a]\ntitle = 'x'\nstarts = 2015-09-28T16:00:00Z",
            3,
            "starts in [events.a]: ... offset",
        ),
        (
            "[events.a]\ntitle = 'x'\nstarts = 2015-09-28",
            3,
            "starts in [events.a]: ... time",
        ),
        (
            "[events.a]\ntitle = 'x'\nstarts = 2015-09-28T16:00:00\nends = 2015-09-28T15:00:00",
            1,
            "a in [events]: it ends before it starts",
        ),
        ("inbox.url = 'imap://h/x'", 1, 'url in [inbox]: "imap://h/x" is not a mailbox'),
        ("inbox.url = 'IMAPS://u@h/x'", 1, 'url in [inbox]: "IMAPS://u@h/x" is not a mailbox'),
        ("inbox.url = 'imap://u:pw@h/x'", 1, "url in [inbox]: ... password"),
        ("inbox.url = 'imaps://u:pw@h/x'", 1, "url in [inbox]: ... password"),
        (
            "inbox.url = 'imaps://u@h/x%22%0D%0Ay EXPUNGE'",
            1,
            "url in [inbox]: ... U+000D",
        ),
        (
            "inbox.url = 'imaps://u%0D%0Ay EXPUNGE@h/x'",
            1,
            "url in [inbox]: ... U+000D",
        ),
        ("unsubscribe.url = 'a'", 1, 'url in [unsubscribe]: "a" is not a web address'),
        ("publish.url = 'https://a.example/?b'", 1, "url in [publish]: ... a ?"),
        ("publish.url = 'https://a.example/#b'", 1, "url in [publish]: ... a #"),
        ("publish.url = 'a/'", 1, 'url in [publish]: "a/" is not a web address'),
        ("unsubscribe.url = 'http://['", 1, "url in [unsubscribe]: this is not a URL"),
        (
            "log.database = 'postgresql://u:pw@h/x'",
            1,
            "database in [log]: ... password",
        ),
        ("log.database = 'x.db'", 1, "database in [log]: this is not the URL of a database"),
        ("approval.needed = 1", 1, '"by" is missing in [approval]'),
        ("approval.by = []", 1, "by in [approval]: this is not a list ..."),
        ("approval.by = ['bea']", 1, "by in [approval]: ... not a mail address ..."),
        ("[approval]\nby = ['b@a.example', 'B@a.example']", 2, "by in [approval]: ... twice"),
        ("[approval]\nby = ['b@a.example']\nneeded = 2", 1, "approval: needed is 2 ..."),
        ("[approval]\nby = ['b@a.example']\nneeded = 0", 3, "needed in [approval] ... at least 1"),
        ("[approval]\nby = ['Kim@a.example']", 1, "approval: Kim@a.example is the sender ..."),
        ("smtp.hots = 'a'\nsmtp.port = 1", 1, 'unknown key "hots" in [smtp]'),
        ("[peopel]\na = 'b'", 1, 'unknown table "peopel"'),
    ],
)
def test_each_mistake_has_its_line(folder, text, line, what):
    assert faults(folder, text) == [(line, what)]


def test_the_nearest_key_is_named_or_the_table_that_a_key_belongs_in(folder):
    text = '[campaign]\ntitle = "x"\n[sender]\nfrom = "a@b.example"\n'
    assert hint_of(folder, text + 'repyl_to = "a@b.example"') == 'Did you mean "reply_to"'
    assert hint_of(folder, text + 'timezone = "UTC"') == "It belongs in [campaign]"
    assert hint_of(folder, text + "[log]\nxyz = 1").endswith("known here are database")
    assert hint_of(folder, text + "[sendr]\na = 1") == 'Did you mean "sender"'
    assert hint_of(folder, text + "[campaign.timezne]") == 'Did you mean "timezone"'


@pytest.mark.parametrize("key", ["password", "Password", "secret", "token"])
@pytest.mark.parametrize("table", ["smtp", "inbox", "anything.deep"])
def test_a_secret_is_never_shown_and_its_better_place_is_told(folder, table, key):
    text = f'[campaign]\ntitle = "x"\n[sender]\nfrom = "a@b.example"\n[{table}]\n{key} = "hunter2"'
    loaded, problems = load(folder, text)
    secret = next(problem for problem in problems if problem.line == 6)
    assert secret.what.startswith(f'"{key}" in [{table}] is a secret')
    assert f"{'token' if key == 'token' else 'password'}_command" in secret.hint
    assert "hunter2" not in f"{problems} {loaded!r}"


def test_all_mistakes_are_told_at_once_and_the_rest_is_still_read(folder):
    text = """
titel = 1
[campaign]
languages = ["en", "ru"]
timezone = 5
[sender]
from = "nobody"
[smtp]
port = 99999
[events.a]
title = "x"
starts = 2015-09-28T16:00:00
ends = 2015-09-28T15:00:00
colour = "red"
"""
    loaded, problems = load(folder, text)
    assert [problem.line for problem in problems] == [2, 3, 5, 7, 8, 9, 10, 14]
    assert loaded.campaign.languages == ("en", "ru")
    assert loaded.smtp is None
    assert loaded.sender.from_.is_reserved


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[campaign\n", 1, "this is not TOML: expected ']' at the end of a table declaration"),
        ("a = 1\nb = \n", 2, "this is not TOML: invalid value"),
        ("a = 1\nb = \0", 2, "NUL"),
    ],
)
def test_what_is_no_toml_gives_no_settings(folder, text, line, what):
    loaded, problems = load(folder, text)
    assert loaded is None
    assert [(problem.line, Said(problem.what)) for problem in problems] == [(line, what)]


def test_an_empty_file_asks_for_the_two_tables(folder):
    assert [Said(problem.what) for problem in load(folder, "")[1]] == [
        '"campaign" is missing',
        '"sender" is missing',
    ]


def test_hours_may_go_over_midnight():
    day, night = Between.parse("08:00-20:00"), Between.parse("22:00 - 06:00")
    assert day.contains(time(8))
    assert not day.contains(time(20))
    assert night.contains(time(23))
    assert night.contains(time(5, 59))
    assert not night.contains(time(12))
    assert Between.parse("08:00-24:00").contains(time(23, 59))
    assert str(day) == "08:00-20:00"


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", "mon, tue, wed, thu, fri"),
        ("Mon, wed ,SAT", "mon, wed, sat"),
        ("sat-mon", "mon, sat, sun"),
        ("sun", "sun"),
        ("mon-sun", "mon, tue, wed, thu, fri, sat, sun"),
    ],
)
def test_days_of_the_week(text, days):
    assert str(Weekdays.parse(text)) == days
    assert Weekdays.parse(days) == Weekdays.parse(text)


VALUES = st.recursive(
    st.sampled_from(
        ["1", "true", "'x'", "''", "'a@b.example'", "2015-09-28", "2015-09-28T16:00:00", "nan"]
    ),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda texts: f"[{', '.join(texts)}]")
        | inner.map(lambda text: f"{{ key = {text} }}")
    ),
    max_leaves=3,
)
KEYS = st.sampled_from(
    ["campaign", "campaign.title", "campaign.id", "campaign.languages", "sender", "sender.from",
     "people", "people.signatories", "smtp", "smtp.host", "smtp.port", "smtp.security", "pace.rate",
     "pace.per_domain", "events", "events.a", "events.a.starts", "events.a.ends", "inbox",
     "inbox.url", "log.database", "unsubscribe", "password", "x.token"]
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_no_value_of_any_key_is_a_traceback(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("\n".join(f"{key} = {value}" for key, value in values.items()))
    loaded, problems, _ = load_settings(path)
    assert loaded is not None or problems


def test_what_people_says_of_hidden_rows_is_not_a_list(folder):
    settings, problems = load(folder, MINIMAL + '[people]\nhidden = "skip"\n')
    assert problems == []
    assert settings.reading.hidden == "skip"
    assert "hidden" not in settings.people
    assert load(folder, MINIMAL)[0].reading.hidden is None
    assert faults(folder, '[people]\nhidden = "maybe"\n') == [(1, "hidden ... skip")]
    assert load(folder, MINIMAL + '[people]\nencoding = "cp1250"\n')[0].reading.encoding == "cp1250"
    assert faults(folder, '[people]\nencoding = "cp9"\n') == [(1, "encoding ... cp9")]


MINIMAL = '[campaign]\ntitle = "x"\n[sender]\nfrom = "kim@a.example"\n'


@pytest.mark.parametrize(
    "text",
    [
        "[log]\ndatabase = 'sqlite:///\\\\server\\share\\x.db'",
        "[log]\ndatabase = 'sqlite://///server/share/x.db'",
        "[inbox]\nurl = 'maildir:\\\\server\\mail'",
        "[dkim]\ndomain = 'a.example'\nselector = 's'\nkey_file = '//server/key'",
    ],
)
def test_where_it_would_be_looked_for_on_the_network_a_path_of_another_machine_is_refused(
    folder, monkeypatch, text
):
    def is_unc(path):
        return path[:2] in {"//", r"\\"}

    monkeypatch.setattr("petition.system.names_other_machine", is_unc)
    [(line, what)] = faults(folder, text)
    assert line == text.count("\n") + 1
    assert what == "... is on another machine"
