"""The event of a letter as a calendar file. The only door to icalendar.

PUBLISH of RFC 5546 3.2.1: it can be put into a calendar and asks for no answer. Times are in UTC,
which every calendar shows in its own zone; nothing in the file depends on when it is made.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from petition.address import Mailbox
from petition.merge.document import Frozen
from petition.merge.part import Part, attachment_of

_PRODUCT = "-//petition//open letters//EN"


def calendar_part(frozen: Frozen, revision: int) -> Part | None:
    """The calendar file of a letter's event as a part; None where it has no event.

    Args:
        frozen: The letter.
        revision: Its revision: a later one updates the event in a reader's calendar.
    """
    event = frozen.event
    if event is None:
        return None
    method = "CANCEL" if event.get("status") == "cancelled" else "PUBLISH"
    data = write_calendar(frozen, event, revision, method)
    content_type = f"text/calendar; charset=utf-8; method={method}"
    return attachment_of(f"{frozen.event_name}.ics", data, content_type)


def event_uid(campaign_id: str, event: str) -> str:
    """What calendars know the event by: the same in every letter and revision."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"petition:{campaign_id}/{event}"))


def write_calendar(frozen: Frozen, event: Mapping[str, Any], revision: int, method: str) -> bytes:
    """The calendar file.

    Args:
        frozen: The letter.
        event: Its event.
        revision: Its revision, from 1.
        method: PUBLISH or CANCEL.
    """
    # 155 ms that only a letter with an event pays for.
    from icalendar import Calendar, Event, vText  # noqa: PLC0415

    zone = ZoneInfo(frozen.timezone)
    entry = Event()
    entry.add("UID", event_uid(frozen.campaign_id, frozen.event_name))
    entry.add("DTSTAMP", _midnight(frozen.today))
    entry.add("SEQUENCE", revision - 1)
    entry.add("SUMMARY", event["title"])
    entry.add("DTSTART", _in_utc(event["starts"], zone))
    if event["ends"]:
        entry.add("DTEND", _in_utc(event["ends"], zone))
    if event["place"]:
        entry.add("LOCATION", event["place"])
    if event["url"]:
        entry.add("URL", event["url"])
    entry.add("STATUS", vText("CANCELLED" if method == "CANCEL" else "CONFIRMED"))
    entry.add("ORGANIZER", _organizer(frozen.sender_reply_to or frozen.sender, frozen.sender))
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", _PRODUCT)
    calendar.add("METHOD", method)
    calendar.add_component(entry)
    return bytes(calendar.to_ical())


def _organizer(answers: Mailbox, sender: Mailbox) -> Any:  # noqa: ANN401 (icalendar's vCalAddress)
    from icalendar import vCalAddress  # noqa: PLC0415

    organizer = vCalAddress(f"mailto:{answers.addr_spec}")
    if sender.display_name:
        organizer.params["CN"] = sender.display_name
    return organizer


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _in_utc(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
