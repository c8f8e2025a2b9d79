import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.toml import TomlLines, TomlRefused, parse_toml

TEXT = '''# a comment with [brackets] and "quotes
first = 1

[campaign]
title = """
[not.a.table]
other = 2
"""
languages = [
  "en", # ] not the end
  "ru",
]
"quoted key" = 'x [ y'
[ people ]  # lists
a.b = 1
[pace]
per_domain = { "gmail.com" = "2/s", other = "1/s" }
[events . "the protest"]
title = "x"
[[list]]
deep = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("first",), 2),
        (("campaign",), 4),
        (("campaign", "title"), 5),
        (("campaign", "languages"), 9),
        (("campaign", "languages", 1), 9),
        (("campaign", "quoted key"), 13),
        (("people",), 14),
        (("people", "a"), 15),
        (("people", "a", "b"), 15),
        (("pace", "per_domain", "gmail.com"), 17),
        (("events",), 18),
        (("events", "the protest", "title"), 19),
        (("events", "the protest", "starts"), 18),
        (("list", "deep"), 21),
        (("other",), None),
        ((), None),
    ],
)
def test_each_key_has_its_line(path, line):
    assert TomlLines(TEXT).line_of(path) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = [\n", 2),
        ("a = 1\n\nb = x\n", 3),
        ("a = 1\na = 2\n", 2),
        ('a = "\n', 1),
        ("a = " + "[" * 5_000, None),
        ("a = " + "9" * 5_000, None),
        ("a = 1\n" + ".".join("b" * 50_000) + " = 1", 2),
        ('"b" . ' * 50_000 + "b = 1", 1),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(text, line):
    with pytest.raises(TomlRefused) as refused:
        parse_toml(text)
    assert refused.value.line == line


@pytest.mark.parametrize("path", ["C:\\Users\\ann", "C:\\data"])
def test_a_path_of_windows_is_to_be_written_with_slashes(path):
    with pytest.raises(TomlRefused, match='write "/" in place of'):
        parse_toml(f'recipients = "{path}"')


def test_a_single_quotation_mark_without_an_end_is_looked_for_above():
    with pytest.raises(TomlRefused, match="closing"):
        parse_toml('[campaign]\ntitle = \'T\nid = "water"\n')


TOML_TEXTS = st.lists(
    st.sampled_from(
        ["[a]", "[a.b]", '["c d"]', "[[l]]", "x = 1", "y.z = 'a'", 'k = """', '"""', "m = '''",
         "'''", "n = [", "]", "1,", "# [c]", "o = { p = 1 }", "", "x", '"', "\\"]
    ),
    max_size=12,
).map("\n".join)  # fmt: skip


@given(TOML_TEXTS)
def test_every_key_of_every_document_has_a_line(text):
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = TomlLines(text)
    for key, value in document.items():
        assert lines.line_of((key,))
        for inner in value if isinstance(value, dict) else ():
            line = lines.line_of((key, inner))
            assert inner in text.split("\n")[line - 1]
