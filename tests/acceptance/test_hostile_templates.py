"""A letter whose template would take the machine down: a problem with its line, soon and small."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PATIENCE
from tests.acceptance.small import LETTER, SmallCampaign

MEMORY = 700 * 1024 * 1024  # bytes of address space; a check of this campaign needs about 250 MB
SECONDS = 30  # of processor time

TOO_MUCH = [
    "{{ 'a' * 10**9 }}",
    "{{ 'a' * 10**9 * 10**9 }}",
    "{{ [1] * 10**9 }}",
    "{{ (1,) * 10**9 }}",
    "{{ 10**(10**10) }}",
    "{{ 10**(10**6) * 10**(10**6) }}",
    "{{ 2**(2**31) }}",
    "{{ (10**9)|string * 10**8 }}",
    "{{ -1 * 2**(9**9) }}",
    "{{ 7 // 1 ** 10**9 * 'x' * 10**9 }}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "{% for i in range(9999) %}{{ 'x' * 9999 }}{% endfor %}",
    "{{ range(10**9)|list|length }}",
    "{{ range(10**9)|sum }}",
    "{{ range(10**12)|max }}",
    "{{ range(9999)|map('string')|join('a' * 9999) }}",
    "{% set x = 'a' * 99999 %}{{ x ~ x ~ x }}",
    "{% set x = 'ab' * 9999 %}{{ x|replace('a', x)|length }}",
    "{{ 'a'|center(10**9) }}",
    "{{ 'a'.center(10**9) }}",
    "{{ 'a'.ljust(10**9) }}",
    "{{ 'a'.zfill(10**9) }}",
    "{{ ('a' * 99999).replace('a', 'b' * 99999) }}",
    "{{ ('\\t' * 99999).expandtabs(10**9) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (10**9, 1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'a'|indent(10**9) }}",
    "{{ 'a b'|wordwrap(1)|indent(10**9) }}",
    "{{ 'a'|truncate(10**9, end='b' * 10**9) }}",
    "{{ [[1]]|batch(10**9, 'x')|list }}",
    "{{ [1]|slice(10**9)|list }}",
    "{{ lipsum(10**6) }}",
    "{{ 'a'|urlize(10**9) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "{% for a in [[1]] recursive %}{{ loop(a) }}{{ loop([a]) }}{% endfor %}",
    "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% macro f(n) %}{% call f(n) %}{% endcall %}{% endmacro %}{{ f(1) }}",
    "{{ 1.0e308 * 10 ** 400 }}",
    "{{ ('a' * 99999)|list|join|list|join('x' * 99999) }}",
    "{{ 'x'|default('y' * 10**9) * 10**9 }}",
    "{{ [1, 2, 3] * 10**8 }}",
    "{{ {'a': 1} * 10**9 }}",
    "{{ 1 << 10**9 }}",
    "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}x",
    "{{ (range(9999)|list + range(9999)|list) * 9999 }}",
    "{{ 'a,' * 49999 * 9 }}",
    "{{ ('9' * 4000)|int ** 9 }}",
    "{{ 1e400|int }}",
    "{{ '1e999999999'|float|int }}",
    "{{ 10**400 / 3 }}",
    "{{ recipient.name * 10**9 }}",
    "{% set a = [] %}{% for i in range(9) %}{% set _ = a.append(a) %}{% endfor %}{{ a }}",
]

OUT_OF_BOUNDS = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''.__class__.__mro__[2].__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ '{0.__class__}'.format(recipient) }}",
    "{{ '{0.__class__}'.format_map({}) }}",
    "{{ recipient.__class__ }}",
    "{{ recipient.__init__.__globals__ }}",
    "{{ range.__class__ }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner }}",
    "{{ config }}",
    "{{ campaign._values }}",
    "{{ [demands]|map(attribute='__class__')|list }}",
    "{{ demands|map(attribute='_values')|join }}",
    "{{ [1]|map('attr', '__class__')|join }}",
    "{{ [1]|groupby('__class__') }}",
    "{{ [1]|sort(attribute='__class__.__mro__')|join }}",
    "{{ [1]|sum(attribute='__class__') }}",
    "{{ [1]|selectattr('__class__')|join }}",
    "{{ [1]|map(attribute='real.__class__')|join }}",
    "{{ ''.join.__self__ }}",
    "{% import 'os' as os %}{{ os }}",
    "{% include '/etc/passwd' %}",
    "{% extends '/etc/passwd' %}",
    "{% from 'x' import y %}",
    "{{ caller() }}",
    "{{ varargs }}",
    "{{ 'x'|pprint }}",
    "{{ 'x'|tojson }}",
    "{{ '<b>'|safe }}",
    "{{ [1, 2]|random }}",
    "{{ {'a': 1}|xmlattr }}",
    "{% set recipient = 1 %}{{ recipient.email }}",
]

DEEP = [
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ " + "[" * 3000 + "]" * 3000 + " }}",
    "{{ " + "-" * 5000 + "1 }}",
    "{{ " + "not " * 5000 + "1 }}",
    "{{ " + "1 + " * 5000 + "1 }}",
    "{{ recipient.name" + "|upper" * 5000 + " }}",
    "{{ recipient" + ".name" * 5000 + " }}",
    "{% if 1 %}" * 2000 + "x" + "{% endif %}" * 2000,
    "{% for i in [1] %}" * 300 + "x" + "{% endfor %}" * 300,
    "{{ " + "1 if 1 else " * 3000 + "2 }}",
    "{{ " + "'a' ~ " * 9999 + "'b' }}",
    "{{ " + "9" * 100_000 + " }}",
    "> " * 5000 + "{{ recipient.name }}",
    "*" * 20_000 + "{{ recipient.name }}" + "*" * 20_000,
    "[" * 20_000 + "{{ recipient.name }}" + "](" * 20_000,
    "`" * 20_001 + "{{ recipient.name }}",
    "![" * 9000 + "{{ 1 / 0 }}",
    "<" * 50_000 + "{{ 1 / 0 }}",
    "{{" * 20_000,
    "{%" * 20_000,
    "{#" * 20_000,
    "{% raw %}" * 9000,
    "&" * 99_999 + "{{ 1 / 0 }}",
]


def letter_of(body: str) -> str:
    """A letter whose line 8 is this."""
    head = LETTER.partition("Dear")[0]
    return f"{head}Dear {{{{ recipient.name }}}},\n\n{body}\n"


def check(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run petition check on a letter with this text, with little memory and time."""
    campaign = SmallCampaign.at(folder)
    campaign.write("letters/open-letter.md", letter_of(body))

    def bounds() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    return subprocess.run(
        [sys.executable, "-m", "petition", "check", "open-letter"],
        cwd=folder,
        env=campaign.environment | {"COLUMNS": "10000"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        preexec_fn=bounds,
        check=False,
    )


def is_told(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert "letters/open-letter.md:8: " in done.stdout, (done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    assert "fault of its own" not in done.stderr
    assert "root:" not in done.stdout


def name_of(body: str) -> str:
    return body[:60]


@pytest.mark.parametrize("body", TOO_MUCH, ids=name_of)
def test_a_template_that_would_do_too_much_is_told_with_its_line(body: str, tmp_path: Path):
    is_told(check(tmp_path, body))


def test_templates_that_reach_out_are_told_with_their_lines(tmp_path: Path):
    """One campaign of many letters: none of these costs anything."""
    campaign = SmallCampaign.at(tmp_path)
    for number, body in enumerate(OUT_OF_BOUNDS):
        campaign.write(f"letters/letter-{number}.md", letter_of(body))
    problems = campaign.petition("check", "--json", status=1).json
    errors = {(one["file"], one["line"]) for one in problems if one["level"] == "error"}
    told = {(f"letters/letter-{number}.md", 8) for number in range(len(OUT_OF_BOUNDS))}
    assert told - errors == set()
    assert all("root:" not in one["what"] for one in problems)


@pytest.mark.parametrize("body", DEEP, ids=name_of)
def test_a_template_that_is_nested_deep_is_told_or_sound(body: str, tmp_path: Path):
    done = check(tmp_path, body)
    if done.returncode != 0 or "{{ 1 / 0 }}" in body:
        is_told(done)
