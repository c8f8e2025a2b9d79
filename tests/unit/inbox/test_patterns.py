"""Patterns of patterns.txt and refusals.txt: each has an origin, and is found as it is written."""

import re

import pytest

from petition.inbox import _PHRASES as INBOX
from petition.mail_parser import read_mail
from petition.smtp.replies import PHRASES as REFUSALS
from petition.smtp.replies import Phrases
from tests.unit.inbox.test_classify import SAMPLES, rows

HEADINGS = [(phrases, name) for phrases in (INBOX, REFUSALS) for name in phrases.sections]
IN_CAPITALS = {"field of the letter"}  # the names of header fields, which no finder looks for


def without_origin(section: str) -> list[str]:
    """The patterns of a heading above which no origin stands."""
    origin, found = "", []
    for line in filter(None, section.split("\n")):
        if line.startswith("#"):
            origin = line.removeprefix("# ").strip()
        elif len(origin) < 3:
            found.append(line)
    return found


@pytest.mark.parametrize(("phrases", "name"), HEADINGS, ids=[name for _, name in HEADINGS])
def test_every_pattern_has_an_origin_and_small_letters(phrases: Phrases, name: str):
    assert without_origin(phrases.sections[name]) == []
    assert without_origin("\n" + phrases.sections[name].partition("\n# ")[2].partition("\n")[2])
    if name not in IN_CAPITALS:
        text = re.sub(r"\\[A-Z]", "", phrases.alternatives(name))
        assert text == text.lower()


def test_a_finder_finds_what_its_pattern_does():
    mails = [read_mail((SAMPLES / row["file"]).read_bytes()) for row in rows("expected.csv")]
    texts = [text for mail in mails for text in mail.texts("text/plain", returned=True)]
    texts += [mail.headers.text("subject") for mail in mails]
    texts += [row[column] for row in rows("replies.csv") for column in ("subject", "text")]
    texts += (SAMPLES.parent / "leaving.txt").read_text(encoding="utf-8").splitlines()
    texts += ["TESLİM EDİLEMEDİ", "UNZUSTELLBAR", ""]
    found = 0
    for phrases, name in HEADINGS:
        if name in IN_CAPITALS:
            continue
        pattern, finds = phrases.pattern(name), phrases.finder(name)
        for text in texts:
            assert finds(text) == bool(pattern.search(text)), (name, text)
            found += finds(text)
    assert found > 500
