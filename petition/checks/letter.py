"""Whether a letter may leave at all: its sender, its copies, its dates; what bulk mail needs."""

from collections.abc import Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

from petition.address import Mailbox, folded
from petition.campaign.folder import LETTERS_FOLDER, SETTINGS_FILE, Campaign
from petition.campaign.letter import Letter, LetterText
from petition.campaign.names import nearest, quoted
from petition.campaign.people import PeopleList, Person
from petition.campaign.server import Server
from petition.campaign.supporters import Consent
from petition.errors import Level, Problem
from petition.merge.document import Frozen
from petition.merge.template.check_names import shown_to_all
from petition.merge.template.compile import names_in
from petition.merge.template.fields import wrong_weekdays
from petition.smtp import dkim as signing

COPIES = ("cc", "bcc")

_URL_LIMIT = 200  # characters: with a token it stands in a header and in each letter

# What each part must show to everybody, and how to write it.
_SHOWN = {
    "unsubscribe": ("no line to leave the list by", "[Unsubscribe]({{ unsubscribe }})"),
    "sender.postal_address": ("no postal address of the sender", "{{ sender.postal_address }}"),
}


def consent_of(campaign: Campaign, letter: Letter, people: PeopleList) -> Consent:
    """What is known of the consent of a letter's list."""
    return Consent(people.columns, of_all=letter.front.to in campaign.settings.lists)


def problems_of(
    campaign: Campaign,
    letter: Letter,
    frozen: Frozen | None,
    people: PeopleList | None,
    server: Server | None,
) -> Iterator[Problem]:
    """What keeps a bulk letter from leaving; nothing of a personal one."""
    if letter.front.kind != "bulk":
        return
    yield from _no_copies_to_others(letter)
    yield from _ways_off(campaign, server)
    yield from _address(campaign)
    if frozen:
        for text in letter.texts.values():
            yield from _left_out(text, frozen)
    if people and not consent_of(campaign, letter, people).can_be_known:
        what = "nobody on this list is known to want letters: it says nothing of consent"
        hint = f"Add a column updates with yes, or declare consent in [lists.{letter.front.to}]"
        yield Problem(people.file, people.table.header_line, what, hint)


def unknown_lists(campaign: Campaign) -> Iterator[Problem]:
    """Tables [lists.NAME] of lists that there are not: somebody's consent hangs on a slip."""
    known = campaign.settings.people
    for name in campaign.settings.lists:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean [lists.{near}]" if near else "Name its file in [people]"
            line = campaign.lines.line_of(("lists", name))
            yield Problem(SETTINGS_FILE, line, f"there is no list {quoted(name)}", hint, mark=name)


def _no_copies_to_others(letter: Letter) -> Iterator[Problem]:
    text = letter.default_text
    for key in COPIES:
        if getattr(text.front, key):
            what = f"a bulk letter has no {key}: it would go there with each of its copies"
            yield Problem(text.file, text.line_of(key), what, f"Take {key} out", mark=key)


def _ways_off(campaign: Campaign, server: Server | None) -> Iterator[Problem]:
    """Whether people can leave: by a click (RFC 8058), and by a mail (RFC 2369)."""
    ways, lines = campaign.settings.unsubscribe, campaign.lines
    if not ways or not (ways.url or ways.mailto):
        what = "a bulk letter needs a way off the list, and there is no [unsubscribe]"
        hint = 'Write there url = "https://..." (petition serve) and mailto = "leave+{token}@..."'
        yield Problem(SETTINGS_FILE, lines.line_of(("unsubscribe",)), what, hint)
        return
    if ways.url is None:
        what = "[unsubscribe] has no url: Gmail and Yahoo want to unsubscribe with one click"
        hint = 'Write url = "https://...", where petition serve answers'
    elif (fault := _fault_of_url(ways.url)) is not None:
        line = lines.line_of(("unsubscribe", "url"))
        yield Problem(SETTINGS_FILE, line, *fault, mark="url")
        return
    elif ways.mailto is None:
        what = "[unsubscribe] has no mailto, and some mail programs know no other way"
        hint = 'Write mailto = "leave+{token}@...", an address whose mail petition inbox reads'
    else:
        return
    if server:  # a rehearsal leaves nobody on a list
        line = lines.line_of(("unsubscribe",))
        yield Problem(SETTINGS_FILE, line, what, hint, Level.WARNING)


def _fault_of_url(url: str) -> tuple[str, str] | None:
    if not url.startswith("https://"):
        return "one click must be safe on its way (RFC 8058)", "Begin url with https://"
    if "?" in url or "#" in url:
        hint = "Leave out what stands behind ? or #"
        return "/u/ and a token are put behind url, which ends in a query or fragment", hint
    if len(url) > _URL_LIMIT or not url.isascii():
        return f"url is not ASCII, or longer than {_URL_LIMIT} characters", "Write a shorter one"
    return None


def _address(campaign: Campaign) -> Iterator[Problem]:
    if campaign.settings.sender.postal_address is None and not campaign.stands_in:
        what = "[sender] has no postal_address, which a bulk letter must show"
        hint = 'Write postal_address = "Name, Street 1, City, Country" under [sender]'
        yield Problem(SETTINGS_FILE, campaign.lines.line_of(("sender",)), what, hint, mark="")


def _left_out(text: LetterText, frozen: Frozen) -> Iterator[Problem]:
    """What a text does not show to everybody, in one of its two parts."""
    compiled = frozen.compiled(text.language)
    shown = [shown_to_all(part.source) for part in (compiled.text, compiled.html)]
    end = text.body_line + text.body.rstrip().count("\n")
    for name, (what, words) in _SHOWN.items():
        if not all(name in names for names in shown):
            inside = f"{name} stands in a condition" if name in text.body else f"it has {what}"
            hint = f"Write {words} at its end, outside of conditions"
            yield Problem(text.file, end, f"{inside}, which a bulk letter must show", hint, mark="")


DEMANDS = "demands"  # lies beside the letters and is none

_HINT_SENDER = "Write an address under a domain of your own"
_HINT_COPY = "Write the real address or leave it out"


def unfit(
    campaign: Campaign, letter: Letter, server: Server | None, today: date
) -> Iterator[Problem]:
    """What is wrong with a letter before anybody's row is looked at."""
    yield from _sender(campaign, server)
    yield from signing.problems_of(campaign, is_live=server is not None)
    yield from _copies_of_personal_letter(letter, server)
    yield from _reply_by(letter, server, today)
    yield from _event(campaign, letter, server, today)
    yield from _demands(campaign, letter)
    yield from _follows(campaign, letter)


def takes_all(server: Server | None) -> bool:
    """Whether a server takes every address: on this machine nobody is written to."""
    return server is None or server.is_loopback


def refused_by(server: Server | None, mailbox: Mailbox) -> str | None:
    """Why a mailbox cannot be written to through a server, or None.

    Args:
        server: Where the letter would go; None: the sandbox, which takes every address.
        mailbox: The mailbox.
    """
    if takes_all(server) or not mailbox.is_reserved:
        return None
    why = "is under a domain reserved for examples (RFC 2606): nobody can receive mail there"
    return f"{mailbox.addr_spec} {why}"


class CopiedTwice:
    """Finds those in cc and bcc who are on the list as well.

    Args:
        letter: The letter.
    """

    def __init__(self, letter: Letter) -> None:
        text = letter.default_text
        self._text = text
        self._keys = {
            folded(mailbox.addr_spec): key for key in COPIES for mailbox in getattr(text.front, key)
        }
        self.problems: list[Problem] = []

    def look_at(self, person: Person) -> None:
        """Whether a person of the list is in cc or bcc."""
        if not self._keys:
            return
        address = person.mailbox.addr_spec
        if not (key := self._keys.get(folded(address))):
            return
        what = (
            f"{address} is in {key} of every letter, and on the list too"
            f" ({person.file}:{person.line})"
        )
        hint = f"Take it out of {key}, if its own letter is enough"
        line = self._text.line_of(key)
        self.problems.append(Problem(self._text.file, line, what, hint, Level.WARNING, address))


def zone_of(campaign: Campaign) -> ZoneInfo:
    """The campaign's time zone."""
    return ZoneInfo(campaign.settings.campaign.timezone)


def _sender(campaign: Campaign, server: Server | None) -> Iterator[Problem]:
    """What must hold of the sender before a letter leaves for a real server."""
    if campaign.stands_in:  # petition.toml is wrong: nothing follows from what stands in
        return
    sender, lines = campaign.settings.sender, campaign.lines
    for key, mailbox in (("from", sender.from_), ("reply_to", sender.reply_to)):
        if mailbox and (what := refused_by(server, mailbox)):
            line = lines.line_of(("sender", key))
            yield Problem(SETTINGS_FILE, line, what, _HINT_SENDER, mark=mailbox.addr_spec)
    if server and not sender.reply_to:
        yield Problem(
            SETTINGS_FILE,
            lines.line_of(("sender",)),
            "[sender] has no reply_to, and answers would have nowhere to go",
            'Write reply_to = "Name <an address that somebody reads>" under [sender]',
            mark="",
        )


def _copies_of_personal_letter(letter: Letter, server: Server | None) -> Iterator[Problem]:
    """Whether those in cc and bcc can receive mail."""
    text = letter.default_text
    for key in COPIES:
        for mailbox in getattr(text.front, key):
            if what := refused_by(server, mailbox):
                line = text.line_of(key)
                yield Problem(text.file, line, what, _HINT_COPY, mark=mailbox.addr_spec)


def _reply_by(letter: Letter, server: Server | None, today: date) -> Iterator[Problem]:
    """Whether the reply-by date is still to come."""
    reply_by, text = letter.front.reply_by, letter.default_text
    if isinstance(reply_by, date) and reply_by < today:
        yield Problem(
            text.file,
            text.line_of("reply_by"),
            f"the reply-by date {reply_by.isoformat()} is past",
            "Set a date that can still be kept",
            _level(server),
            "reply_by",
        )


def _event(
    campaign: Campaign, letter: Letter, server: Server | None, today: date
) -> Iterator[Problem]:
    """Whether the event is still to come, and whether the letter gives its weekday."""
    name, text = letter.front.event, letter.default_text
    event = campaign.settings.events.get(name) if name else None
    if event is None:
        return
    for translation in letter.texts.values():
        yield from wrong_weekdays(translation, event.starts)
    end = event.ends or event.starts
    now = datetime.now(zone_of(campaign)).replace(tzinfo=None)
    if end.date() < today or (today == now.date() and end < now):
        yield Problem(
            text.file,
            text.line_of("event"),
            f"the event is past: it was on {event.starts:%Y-%m-%d}",
            f"Set a day to come in [events.{name}], or leave the letter",
            _level(server),
            name,
        )


def _level(server: Server | None) -> Level:
    """How much it matters that a day is past: in a rehearsal nobody can miss it."""
    return Level.ERROR if server else Level.WARNING


def _demands(campaign: Campaign, letter: Letter) -> Iterator[Problem]:
    """Whether the demands stand in each language of the letter that shows them."""
    demands = campaign.demands
    for language, text in letter.texts.items():
        if not demands or language in demands or DEMANDS not in names_in(text):
            continue
        other = next(iter(demands))
        suffix = "" if language == campaign.languages[0] else f".{language}"
        file = f"{LETTERS_FOLDER}/{DEMANDS}{suffix}.md"
        what = f'there is no {file}: this letter gives the demands in "{other}"'
        line = next((at for at, words in _lines(text) if DEMANDS in words), text.body_line)
        hint = "Translate them there, if the letter is to be in one language"
        yield Problem(text.file, line, what, hint, Level.WARNING, DEMANDS)


def _lines(text: LetterText) -> Iterator[tuple[int, str]]:
    return enumerate(text.body.split("\n"), start=text.body_line)


def _follows(campaign: Campaign, letter: Letter) -> Iterator[Problem]:
    """Whether the letter that it follows is there, and is not itself in a circle."""
    chain, letters = [letter.name], campaign.letters
    follows = letter.front.follows
    while follows in letters and follows not in chain and letters[follows].texts:
        chain.append(follows)
        follows = letters[follows].front.follows
    if follows in chain:
        what = f"the letters follow each other in a circle: {', '.join(chain)}"
        hint = "Let each follow one that was sent before it"
    elif follows and len(chain) == 1 and follows not in letters:
        near = nearest(follows, letters)
        what = f'there is no letter "{follows}" to follow'
        hint = f"Did you mean {near}" if near else f"Letters here: {', '.join(sorted(letters))}"
    else:
        return
    text = letter.default_text
    yield Problem(text.file, text.line_of("follows"), what, hint, mark=follows)
