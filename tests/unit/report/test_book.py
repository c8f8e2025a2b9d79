"""The book of copies: who comes first, what is told of them, and who is in a sample."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from petition.address import Mailbox
from petition.campaign.people import Person
from petition.errors import Level, PetitionError, Problem
from petition.merge.fill import MARK_BEGIN, MARK_END
from petition.merge.message import Shown
from petition.report.book import Book, BookCopy, BookSample, write


def person(number: int, name: str = "", language: str = "en") -> Person:
    mailbox = Mailbox(name or f"P{number}", f"p{number}@x.example")
    return Person("list.csv", number + 1, number, "", mailbox, language, {"town": f"Town {number}"})


def copy_of(number: int, text: str, **more) -> BookCopy:
    values = {"html": f"<p>{text}</p>", "language": "en", "is_fallback": False} | more
    return BookCopy(person(number, values.pop("name", "")), Shown([], text), **values)


def value(text: str) -> str:
    return f"{MARK_BEGIN}{text}{MARK_END}"


def written(folder: Path, copies: list[BookCopy], **more) -> str:
    book = Book("Clean water", "open-letter", len(copies), copies, [], False, **more)
    write(book, folder / "book.html")
    return (folder / "book.html").read_text(encoding="utf-8")


def ordinary(count: int) -> list[BookCopy]:
    return [copy_of(one, f"Dear {value(f'P{one}')},\n\nHelp.") for one in range(1, count + 1)]


def order(page: str) -> list[int]:
    return [int(one) for one in re.findall(r"row (\d+)</small>", page)]


@pytest.mark.parametrize(
    "text",
    [
        "Dear Sir or Madam,\n\nHelp.",
        f"Dear {value('P3')},",  # a paragraph less
        f"Dear {value('P3')},\n\nHelp.\n\nYou promised it.",
        f"Dear {value('')},\n\nHelp.",
    ],
    ids=["another salutation", "a paragraph less", "a paragraph more", "an empty field"],
)
def test_what_differs_from_the_others_comes_first(tmp_path: Path, text: str):
    copies = ordinary(20)
    copies[2] = copy_of(3, text)
    assert order(written(tmp_path, copies))[:2] == [3, 1]


def test_values_of_rows_alone_make_no_difference(tmp_path: Path):
    assert order(written(tmp_path, ordinary(20))) == list(range(1, 21))


def test_what_stands_for_an_empty_cell_makes_a_difference(tmp_path: Path):
    copies = [copy_of(one, f"Dear {value(f'Town {one}')},\n\nHelp.") for one in range(1, 41)]
    copies[6] = copy_of(7, f"Dear {value('Sir or Madam')},\n\nHelp.")
    page = written(tmp_path, copies)
    assert order(page)[:2] == [7, 1]
    assert page.count("no other copy says “Dear Sir or Madam,”") == 1


def test_problems_come_before_all_that_is_unusual(tmp_path: Path):
    copies = ordinary(20)
    copies[4] = copy_of(5, "Dear Sir or Madam,")
    copies[8].is_fallback = True
    for number, level in ((10, Level.WARNING), (15, Level.ERROR)):
        copies[number].problems = [Problem("list.csv", number + 2, "it is odd", "Look", level)]
    page = written(tmp_path, copies)
    assert order(page)[:4] == [16, 11, 9, 5]
    assert "cannot be sent" in page


def test_a_line_that_nobody_else_has_is_told(tmp_path: Path):
    copies = ordinary(20)
    copies[2] = copy_of(3, f"Dear {value('Chair')} of the board,\n\nHelp.")
    page = written(tmp_path, copies)
    assert "no other copy says “Dear Chair of the board,”" in page
    assert page.count("no other copy says") == 1


def test_cells_are_words(tmp_path: Path):
    evil = '</script></pre><script>alert(1)</script><img src="x" onerror="alert(2)">'
    copies = [
        copy_of(1, value(evil), html="<b>\u2028</script><script>alert(3)</script></b>", name=evil)
    ]
    page = written(tmp_path, copies)
    assert page.count("<script") == 2  # the copies as JSON, and the page's own
    assert "<img" not in page
    said = re.search(r'id="pages">(.*?)</script>', page, re.DOTALL)
    assert said
    found = json.loads(said[1])
    assert [found["lines"][one] for one in found["copies"][0]] == [copies[0].html]


def test_control_characters_are_shown(tmp_path: Path):
    page = written(tmp_path, [copy_of(1, f"A {value(chr(27) + '[31m')} b")])
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", page)
    assert "␛[31m" in page


def test_it_replaces_a_book_and_nothing_else(tmp_path: Path):
    written(tmp_path, ordinary(1))
    assert order(written(tmp_path, ordinary(2))) == [1, 2]
    assert (tmp_path / "book.html").stat().st_mode & 0o777 == 0o600
    (tmp_path / "book.html").write_text("<!DOCTYPE html>\n<html>mine", encoding="utf-8")
    with pytest.raises(PetitionError, match="exists already"):
        written(tmp_path, ordinary(1))


@pytest.mark.parametrize(("number", "kept"), [(3, 3), (10, 10), (11, 6), (1000, 8)])
def test_of_a_long_list_a_part_is_shown_that_is_spread_evenly(number: int, kept: int):
    sample = BookSample(most=10)
    for one in range(1, number + 1):
        sample.add(person(one), is_fallback=False)
    numbers = [one.number for one in sample.people()]
    assert len(numbers) == kept
    assert sample.seen == number
    steps = {after - before for before, after in pairwise(numbers)}
    assert len(steps) == 1
    step = steps.pop()
    assert (f"one in {step}" in sample.how()) is (step > 1)


def test_those_without_a_letter_in_their_language_are_in_the_sample():
    sample = BookSample(most=10)
    for one in range(1, 1001):
        sample.add(person(one), is_fallback=one in {502, 504})
    assert {502, 504} <= {one.number for one in sample.people()}
    assert "2 for whom there is no letter in their language" in sample.how()
