"""A letter whose template would take the machine down: a problem with its line, soon and small."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import PATIENCE
from tests.acceptance.small import LETTER, SmallCampaign

MEMORY = 700 * 1024 * 1024  # bytes of address space; a check of this campaign needs about 250 MB
SECONDS = 5  # of processor time a letter

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
    # What takes long in one go, and what is cheap and done again and again.
    "{% for i in range(9999) %}{{ ('b' * 99999)|upper|length }}{% endfor %}",
    "{% set x = range(9999)|list %}{% for i in x %}{{ x|sort|length }}{% endfor %}",
    "{% set x = range(9999)|list %}{% for i in x %}{{ x|unique|list|length }}{% endfor %}",
    "{% set b = [1] * 99999 %}{% set c = [1] * 99999 %}{{ 'x' if [b] * 9999 == [c] * 9999 }}",
    "{{ ([[1] * 99999] * 9999)|string|length }}",
    "{% set x = [0] * 99999 %}{{ range(1, 9999)|select('in', x)|list|length }}",
    "{% set x = 'a' * 99999 %}{% for i in range(9999) %}{{ 'x' if 'b' in x }}{% endfor %}",
    "{% set x = 'a' * 99999 %}{% for i in range(9999) %}{{ x[::-1]|length }}{% endfor %}",
    "{% set x = 'a' * 99999 %}{% for i in range(9999) %}{{ 'x' if x.isalpha() }}{% endfor %}",
    "{% set x = 'a' * 99999 %}{% for i in range(9999) %}{{ 'x' if x is lower }}{% endfor %}",
    "{% set x = [1] * 99999 %}{% for i in range(9999) %}{{ 'x' if 2 is in x }}{% endfor %}",
    "{% macro f() %}" + "{{ 'x' if 1 }}" * 500 + "{% endmacro %}"
    "{% for i in range(9999) %}{% set y = f() %}{% endfor %}",
    "{% for i in range(9999) %}" + "{% if not i %}{% endif %}" * 900 + "{% endfor %}",
    "{% for i in [1] recursive %}"
    + "{% if not i %}{% endif %}" * 900
    + "{{ loop([1] * 9999) }}{% endfor %}",
    "{% for i in range(9999) if i in range(9999)|list %}{% endfor %}",
    "{{ ('f' * 99999)|int(0, 16) }}",
    "{{ ([[1] * 9] * 99999)|sum(start=[])|length }}",
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


def checked(folder: Path, bodies: list[str]) -> list[set[int]]:
    """The lines of the errors that one petition check, with little memory, finds in letters."""
    campaign = SmallCampaign.at(folder)
    (folder / "letters" / "open-letter.md").unlink()
    for number, body in enumerate(bodies):
        campaign.write(f"letters/letter-{number}.md", letter_of(body))

    def bounds() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        seconds = SECONDS * len(bodies)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    done = subprocess.run(
        [sys.executable, "-m", "petition", "check", "--json"],
        cwd=folder,
        env=campaign.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=bounds,
    )
    assert done.returncode == 1, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    assert "Internal error" not in done.stderr
    assert "root:" not in done.stdout
    problems = errors_in(done.stdout)
    return [
        {one["line"] for one in problems if one["file"] == f"letters/letter-{number}.md"}
        for number in range(len(bodies))
    ]


def errors_in(text: str) -> list[dict[str, Any]]:
    found = json.loads(text)
    problems = found["problems"] if isinstance(found, dict) else found
    return [one for one in problems if one["level"] == "error"]


@pytest.mark.slow
def test_templates_that_would_do_too_much_are_told_with_their_lines(tmp_path: Path):
    told = checked(tmp_path, TOO_MUCH)
    assert [body for body, lines in zip(TOO_MUCH, told, strict=True) if 8 not in lines] == []


def test_templates_that_reach_out_are_told_with_their_lines(tmp_path: Path):
    """One campaign of many letters: none of these costs anything."""
    campaign = SmallCampaign.at(tmp_path)
    bodies = [*OUT_OF_BOUNDS, "{{ " + "1 + " * 5000 + "1 }}"]
    for number, body in enumerate(bodies):
        campaign.write(f"letters/letter-{number}.md", letter_of(body))
    problems = campaign.petition("check", "--json", status=1).json["problems"]
    errors = {(one["file"], one["line"]) for one in problems if one["level"] == "error"}
    told = {(f"letters/letter-{number}.md", 8) for number in range(len(bodies))}
    assert told - errors == set()
    assert all("root:" not in one["what"] for one in problems)


@pytest.mark.slow
def test_templates_that_are_nested_deep_are_told_or_sound(tmp_path: Path):
    told = checked(tmp_path, DEEP)
    silent = [body[:60] for body, lines in zip(DEEP, told, strict=True) if not lines]
    assert [body for body in silent if "{{ 1 / 0 }}" in body] == []
    assert {line for lines in told for line in lines} == {8}
