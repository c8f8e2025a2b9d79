"""The event of a letter: what it names, its weekday, and its calendar file."""

from datetime import date, datetime

import pytest
from icalendar import Calendar

from petition.campaign.letter import Letter
from petition.checks.style import broken_promises, wrong_event_weekdays
from petition.errors import Level
from petition.identity import Signer
from petition.merge.document import Frozen, differences
from petition.merge.message import Merger
from petition.merge.mime_parts import event_uid
from tests.unit.merge.enclosed import read, tree
from tests.unit.merge.letters import (
    NOW,
    freeze_texts,
    person_of,
    problems_of,
    text_of,
)

PROTEST = {
    "title": "Protest, outside; the office",
    "starts": datetime(2015, 9, 28, 16),  # noqa: DTZ001 (local)
    "ends": datetime(2015, 9, 28, 17, 30),  # noqa: DTZ001
    "place": "100 Victoria Street",
    "url": "https://a.example/protest?a=1,2",
}
BARE = {"title": "Vigil", "starts": datetime(2015, 12, 1, 9, 5)}  # noqa: DTZ001
EVENTS = {"protest": PROTEST, "vigil": BARE}
STARTS = PROTEST["starts"]


def frozen(body="Come.", language="en", event="protest", events=EVENTS, today=date(2015, 9, 1)):
    texts = [text_of(body, event=event)]
    if language != "en":
        texts.append(text_of(body, language=language, event=event))
    return freeze_texts(*texts, events=events, today=today)


def sent(letter: Frozen, revision=1):
    merger = Merger(letter, Signer(b"k" * 32))
    return merger.merge(person_of(), revision, NOW, full=True)


def calendar_of(letter: Frozen, revision=1):
    (part,) = read(sent(letter, revision).data).iter_attachments()
    return part, Calendar.from_ical(part.get_payload(decode=True))


def said(expression, language="en", event="protest"):
    merger = Merger(frozen(f"{{{{ {expression} }}}}", language, event), Signer(b"k" * 32))
    text = merger.show(person_of(language=language), 1, NOW).text
    spaces = str.maketrans("\u202f\xa0", "  ", "\x02\x03")
    return text.translate(spaces).strip()


@pytest.mark.parametrize(
    ("expression", "language", "text"),
    [
        ("event.title", "en", "Protest, outside; the office"),
        ("event.place", "en", "100 Victoria Street"),
        ("event.url", "en", "https://a.example/protest?a=1,2"),
        ("event.day", "en", "28 September 2015"),
        ("event.day", "ru", "28 сентября 2015 г."),
        ("event.day", "kk", "2015 ж. 28 қыркүйек"),
        ("event.weekday", "en", "Monday"),
        ("event.weekday", "ru", "понедельник"),
        ("event.weekday", "kk", "дүйсенбі"),
        ("event.time", "en", "16:00"),
        ("event.starts", "en", "28 September 2015, 16:00"),
        ("event.starts.iso", "en", "2015-09-28T16:00"),
        ("event.ends.time", "ru", "17:30"),
        ("event.ends.day", "de", "28. September 2015"),
        ("event.day.year", "en", "2015"),
    ],
)
def test_event_in_the_language_of_the_reader(expression, language, text):
    assert said(expression, language) == text


def test_what_an_event_does_not_have_is_empty():
    expression = "event.place or event.url or event.ends or 'nothing'"
    assert said(expression, event="vigil") == "nothing"


def test_names_of_an_event_are_checked():
    text = text_of("{{ event.plaze }}", event="protest")
    (problem,) = problems_of(text, events=EVENTS)
    assert problem.hint == "Did you mean event.place"
    (problem,) = problems_of(text_of("{{ event }}", event="protest"), events=EVENTS)
    assert problem.mark == "event"


def test_calendar_file_is_attached():
    part, calendar = calendar_of(frozen())
    assert part["Content-Type"].startswith("text/calendar; charset=")
    assert part.get_param("method") == "PUBLISH"
    assert part.get_filename() == "protest.ics"
    (event,) = calendar.events
    assert calendar["METHOD"] == "PUBLISH"
    assert (event["SUMMARY"], event["LOCATION"]) == (PROTEST["title"], PROTEST["place"])
    assert event["URL"] == PROTEST["url"]
    assert event["DTSTART"].to_ical() == b"20150928T150000Z"  # summer time in London
    assert event["DTEND"].to_ical() == b"20150928T163000Z"
    assert event["DTSTAMP"].to_ical() == b"20150901T000000Z"
    assert (event["SEQUENCE"], event["STATUS"]) == (0, "CONFIRMED")
    assert event["ORGANIZER"] == "mailto:letter@campaign.example"
    assert b"\r\n" in part.get_payload(decode=True)


def test_event_without_end_place_and_url():
    _, calendar = calendar_of(frozen(event="vigil"))
    (event,) = calendar.events
    assert event["DTSTART"].to_ical() == b"20151201T090500Z"
    assert {"DTEND", "LOCATION", "URL"}.isdisjoint(event)


def test_update_and_cancellation_have_the_uid_of_the_first():
    first, later = frozen(), {**PROTEST, "starts": datetime(2015, 9, 28, 15)}  # noqa: DTZ001
    moved = frozen(events={**EVENTS, "protest": later})
    off = frozen(events={**EVENTS, "protest": {**PROTEST, "status": "cancelled"}})
    found = [calendar_of(one, number) for number, one in enumerate((first, moved, off), 1)]
    events = [calendar.events[0] for _, calendar in found]
    assert {event["UID"] for event in events} == {event_uid("four-demands", "protest")}
    assert [event["SEQUENCE"] for event in events] == [0, 1, 2]
    assert events[2]["STATUS"] == "CANCELLED"
    assert found[2][1]["METHOD"] == "CANCEL"
    assert found[2][0].get_param("method") == "CANCEL"
    assert event_uid("four-demands", "vigil") != event_uid("four-demands", "protest")
    assert differences(first, moved) == ["[events.protest]"]
    assert differences(first, frozen(event="vigil")) == ["event in the front matter"]


def test_calendar_has_the_same_bytes_on_every_build():
    letter = frozen()
    again = Frozen.from_json(letter.to_json())
    assert sent(letter).data == sent(again).data
    assert tree(read(sent(letter).data))[-1] == "text/calendar"


def test_event_without_a_table_stays_out():
    assert "event" not in frozen(event="nothing").document


@pytest.mark.parametrize(
    ("language", "body", "told"),
    [
        ("en", "Come on Monday, {{ event.day }}", []),
        ("en", "x\nCome on tuesday", [("tuesday", 6)]),
        ("en", "Mondays and Sundays", [("Sundays", 5)]),
        ("en", "a Sundayschool", []),
        ("ru", "в понедельник, к понедельнику", []),
        ("ru", "в среду или к пятнице", [("среду", 5), ("пятнице", 5)]),
        ("ru", "среди нас, в среде рабочих", []),
        ("ru", "субботник на Пятницкой", []),
        ("ru", "по средам и субботам", [("средам", 5), ("субботам", 5)]),
        ("kk", "дүйсенбіде", []),
        ("kk", "сенбіде, жұмада", [("жұмада", 5), ("сенбіде", 5)]),
        ("kk", "жұмыс", []),
        ("de", "am Montag, nicht Dienstags", [("Dienstags", 5)]),
    ],
)
def test_wrong_weekday_is_a_warning_with_its_line(language, body, told):
    found = list(wrong_event_weekdays(text_of(body, language=language, event="protest"), STARTS))
    assert [(one.what.split('"')[1], one.line) for one in found] == told
    assert {one.level for one in found} <= {Level.WARNING}


def test_wrong_weekday_in_the_subject():
    (found,) = wrong_event_weekdays(text_of("x", "Friday!"), STARTS)
    assert found.line == 3
    assert '"Friday"' in found.what
    assert "Monday (2015-09-28)" in found.what


@pytest.mark.parametrize(
    ("language", "body", "promises"),
    [
        ("en", "The report is attached.", True),
        ("en", "See the\n\nAnnex.", True),
        ("en", "A tax was enclosed in it", True),
        ("en", "They are detached; the closure", False),
        ("ru", "Отчёт прилагается", True),
        ("ru", "См. отчёт во вложении", True),
        ("ru", "Мы приложили усилия, приложить руку", False),
        ("kk", "Куәлік қоса беріліп отыр", True),
        ("kk", "Тіркемені қараңыз", True),
        ("kk", "қосымша ақпарат", False),
        ("de", "Anlage", False),
    ],
)
def test_promise_of_an_attachment(language, body, promises):
    text = text_of(f"x\n{body}", language=language)
    letter = Letter("a", {language: text.file}, {language: text})
    found = list(broken_promises(letter))
    assert bool(found) == promises
    if found:
        assert found[0].line == (8 if "\n" in body else 6)
        assert found[0].level is Level.WARNING
    kept = text_of(body, language=language, event="protest")
    assert not list(broken_promises(Letter("a", {language: kept.file}, {language: kept})))
