"""Checks a letter without its list: its sender, cc, dates, event; what bulk mail needs."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from petition.address import Mailbox, folded, is_reserved
from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.holidays import HolidaysUnknown, calendar
from petition.campaign.letter import Letter, LetterText
from petition.campaign.names import DEMANDS, LETTERS_FOLDER, nearest_hint, quoted
from petition.campaign.people import PeopleList, Person
from petition.campaign.server import Server
from petition.campaign.supporters import SOFT_OPT_IN_SINCE, Consent, Proof
from petition.checks.style import wrong_event_weekdays
from petition.errors import Level, Problem
from petition.merge.document import Frozen
from petition.merge.freeze import signed_since_letter
from petition.smtp import dkim as signing
from petition.template.check_names import names_new, shown_to_all
from petition.template.compile import names_in
from petition.template.fields import locale_of
from petition.template.markdown import LETTER_WIDTH
from petition.template.signatories import has_words

COPIES = ("cc", "bcc")

_HEAVY = 1_000_000  # bytes of a picture
_URL_LIMIT = 200  # characters: with a token it is in a header and in each letter

# What each part must show to everybody, and how to write it.
_SHOWN = {
    "unsubscribe": ("no unsubscribe link", "[Unsubscribe]({{ unsubscribe }})"),
    "sender.postal_address": ("no postal address of the sender", "{{ sender.postal_address }}"),
}


def unfit(
    campaign: Campaign, letter: Letter, server: Server | None, today: date
) -> Iterator[Problem]:
    """What is wrong with a letter, whoever it goes to."""
    yield from _sender(campaign, server)
    yield from signing.problems_of(campaign, is_live=server is not None)
    yield from _own_addresses(campaign, letter, server)
    text = letter.default_text
    for key in COPIES:
        for mailbox in text.front.mailboxes(key):
            if what := refused_by(server, mailbox):
                hint = "Write the real address or delete it"
                yield Problem(text.file, text.line_of(key), what, hint, mark=mailbox.addr_spec)
    yield from _invented_signatories(campaign, server)
    yield from _in_english(letter)
    if is_live(server):
        yield from unchanged(campaign, letter, server)
    reply_by = letter.front.reply_by
    if isinstance(reply_by, date) and reply_by < today:
        what = f"the reply-by date {reply_by.isoformat()} is past"
        line, hint = text.line_of("reply_by"), "Set a date that can still be met"
        yield Problem(text.file, line, what, hint, _level_of_past(server), "reply_by")
    yield from _event(campaign, letter, server, today)
    yield from _demands(campaign, letter)
    yield from _follows(campaign, letter)


def is_live(server: Server | None) -> bool:
    """Whether letters leave this machine."""
    return server is not None and not server.is_loopback


def unchanged(campaign: Campaign, letter: Letter, server: Server | None) -> Iterator[Problem]:
    """What of a letter's files still says, word for word, what `petition init` wrote."""
    texts = list(letter.files.values())
    if DEMANDS in set().union(*map(names_in, letter.texts.values())):
        texts.append(f"{LETTERS_FOLDER}/{DEMANDS}.md")
    same = [name for name in texts if _is_from_init(campaign.root, name)]
    if is_live(server):  # the addresses in the other files are errors
        hint = "Put your own in its place"
        yield from (Problem(name, None, "is as petition init wrote it", hint) for name in same)
        return
    if same[:1] == texts[:1]:  # the letter itself: somebody is only trying things out
        others = (SETTINGS_FILE, *dict.fromkeys(campaign.settings.people.values()))
        same += [name for name in others if _is_from_init(campaign.root, name)]
        more = f", and so {'are' if len(same) > 2 else 'is'} {', '.join(same[1:])}"
        what = f"is as petition init wrote it{more if same[1:] else ''}"
        yield Problem(same[0], None, what, "Put your own there before you send it", Level.NOTE)


def _is_from_init(root: Path, name: str) -> bool:
    file, path = files("petition") / "starter" / name, root / name
    if not (file.is_file() and path.is_file()):
        return False
    content = file.read_bytes()
    if path.stat().st_size > 2 * len(content):
        return False
    # An editor may have changed its line ends, or put a mark before it.
    return path.read_bytes().removeprefix(BOM_UTF8).split() == content.split()


def refused_by(server: Server | None, mailbox: Mailbox) -> str | None:
    """Why a mailbox cannot receive mail through a server; None: it can.

    The sandbox (no server) and a server on this machine take every address.
    """
    if not (is_live(server) and mailbox.is_reserved):
        return None
    why = "is under a domain reserved for examples (RFC 2606), which receives no mail"
    return f"{mailbox.addr_spec} {why}"


def zone_of(campaign: Campaign) -> ZoneInfo:
    """The campaign's time zone."""
    return ZoneInfo(campaign.settings.campaign.timezone)


def _sender(campaign: Campaign, server: Server | None) -> Iterator[Problem]:
    if campaign.stands_in:  # petition.toml has errors, and these are not its settings
        return
    sender, lines = campaign.settings.sender, campaign.lines
    for key, mailbox in (("from", sender.from_), ("reply_to", sender.reply_to)):
        if mailbox and (what := refused_by(server, mailbox)):
            line = lines.line_of(("sender", key))
            hint = "Write an address under a domain of your own"
            yield Problem(SETTINGS_FILE, line, what, hint, mark=mailbox.addr_spec)
    if server and not sender.reply_to:
        what = "[sender] has no reply_to, so answers have nowhere to go"
        hint = 'Write reply_to = "Name <an address that somebody reads>" under [sender]'
        yield Problem(SETTINGS_FILE, lines.line_of(("sender",)), what, hint, mark="")


def _own_addresses(campaign: Campaign, letter: Letter, server: Server | None) -> Iterator[Problem]:
    """Whether From and Reply-To of the letter alone are the sender's, and can receive mail."""
    text, sender = letter.default_text, campaign.settings.sender
    if campaign.stands_in:
        return
    domains = {box.domain for box in (sender.from_, sender.reply_to) if box}
    # DMARC and the log's Message-IDs go by the one domain of From.
    below = tuple(f".{one}" for one in domains)
    for key, mailbox, own in (
        ("from", text.front.from_, {sender.from_.domain}),
        ("reply_to", text.front.reply_to, domains),
    ):
        if mailbox is None:
            continue
        what, hint = refused_by(server, mailbox), "Write an address under a domain of your own"
        is_below = key == "reply_to" and mailbox.domain.endswith(below)
        if mailbox.domain not in own and not is_below:
            what = f"{key} is not in a domain of the sender: {', '.join(sorted(own))}"
            hint = f"Write an address there, or change [sender] {key} for all letters"
        if what:
            yield Problem(text.file, text.line_of(key), what, hint, mark=mailbox.addr_spec)


def _in_english(letter: Letter) -> Iterator[Problem]:
    """What petition writes in English in a letter, where it lacks the words in its language."""
    for text in letter.texts.values():
        parts = []
        is_english = text.language.partition("-")[0] == "en"
        if locale_of(text.language).language == "en" and not is_english:
            parts.append("dates, numbers and countries")
        if "signatories" in names_in(text) and not has_words(text.language):
            parts.append('"and 2 others" and the like')
        if parts:
            what = f"petition has no words in {quoted(text.language)}: {' and '.join(parts)} are"
            what += " in English"
            yield Problem(
                text.file, None, what, "Preview it, and write them out if need be", Level.NOTE
            )


def _invented_signatories(campaign: Campaign, server: Server | None) -> Iterator[Problem]:
    """Signatories whose address nobody can have, such as those that `init` made up."""
    if not is_live(server):
        return
    for one in campaign.signatories:
        if one.email and is_reserved(one.email.rpartition("@")[2]):
            what = f"{one.name} signs with an address under a domain reserved for examples"
            hint = "Delete the row, or write the real address"
            file = campaign.settings.people["signatories"]
            yield Problem(file, one.line, what, hint, mark=one.email)


def counted_before(
    campaign: Campaign, letter: Letter, before: Frozen | None, today: date
) -> Iterator[Problem]:
    """Signatories that a follow-up does not call new, since the letter before may count them."""
    if before is None or not names_new(letter):
        return
    if number := len(signed_since_letter(campaign, before, today).counted):
        who = "1 unnamed signatory" if number == 1 else f"{number:,} unnamed signatories"
        what = f"{who} signed on {before.today}, the day on which {quoted(before.letter)} was"
        what += " frozen: that letter may count them, so this one does not call them new"
        hint = "{{ signatories }} counts them all the same"
        yield Problem(campaign.settings.people["signatories"], None, what, hint, Level.NOTE)


def _event(
    campaign: Campaign, letter: Letter, server: Server | None, today: date
) -> Iterator[Problem]:
    """Whether the event is yet to come, and whether the letter gives its weekday."""
    name, text = letter.front.event, letter.default_text
    event = campaign.settings.events.get(name) if name else None
    if event is None:
        return
    for translation in letter.texts.values():
        yield from wrong_event_weekdays(translation, event.starts)
    end = event.ends or event.starts
    now = datetime.now(zone_of(campaign)).replace(tzinfo=None)
    if end.date() < today or (today == now.date() and end < now):
        what = f"the event is past: it was on {event.starts:%Y-%m-%d}"
        hint = f"Set a later day in [events.{name}], or drop the letter"
        yield Problem(text.file, text.line_of("event"), what, hint, _level_of_past(server), name)


def _level_of_past(server: Server | None) -> Level:
    return Level.ERROR if server else Level.WARNING  # a rehearsal may come late


def _demands(campaign: Campaign, letter: Letter) -> Iterator[Problem]:
    """Whether the demands exist in each language of the letter that shows them."""
    demands = campaign.demands
    for language, text in letter.texts.items():
        if not demands or language in demands or DEMANDS not in names_in(text):
            continue
        other = next(iter(demands))
        file = campaign.demands_file(language)
        what = f'there is no {file}: this letter gives the demands in "{other}"'
        before, named, _ = text.body.partition(DEMANDS)
        line = text.body_line + (before.count("\n") if named else 0)
        hint = "Translate them there, unless the letter may be in two languages"
        yield Problem(text.file, line, what, hint, Level.WARNING, DEMANDS)


def _follows(campaign: Campaign, letter: Letter) -> Iterator[Problem]:
    """Whether the letter that it follows exists, and does not follow it in turn."""
    chain, letters = [letter.name], campaign.letters
    follows = letter.front.follows
    while follows in letters and follows not in chain and letters[follows].texts:
        chain.append(follows)
        follows = letters[follows].front.follows
    if follows in chain:
        what = f"the letters follow each other in a circle: {', '.join(chain)}"
        hint = "Let each letter follow one that was sent before it"
    elif follows and len(chain) == 1 and follows not in letters:
        what = f'there is no letter "{follows}" to follow'
        known = f"Letters here: {', '.join(sorted(letters))}"
        hint = nearest_hint(follows, letters, known, "{}")
    else:
        return
    text = letter.default_text
    yield Problem(text.file, text.line_of("follows"), what, hint, mark=follows)


def heavy_pictures(letter: Letter, frozen: Frozen | None) -> Iterator[Problem]:
    """A warning of each picture that makes every copy large."""
    if frozen is None:
        return
    for language, text in letter.texts.items():
        lines = [unquote(line) for line in text.body.split("\n")]
        for one in frozen.pictures(language):
            size = len(frozen.content(one["sha256"]))
            if size <= _HEAVY:
                continue
            at = next((at for at, line in enumerate(lines) if one["path"] in line), 0)
            what = f"the image {quoted(one['path'])} adds {size / 1_000_000:.1f} MB to each copy"
            scale = f"Write {{width={LETTER_WIDTH}}} after it to have it scaled down"
            hint = "Save it with fewer pixels, or as a JPEG" if "asked" in one else scale
            yield Problem(text.file, text.body_line + at, what, hint, Level.WARNING)


class CopiedTwice:
    """Finds those in cc and bcc who are on the list too."""

    def __init__(self, letter: Letter) -> None:
        self._text = letter.default_text
        front = self._text.front
        mailboxes = [(key, box) for key in COPIES for box in front.mailboxes(key)]
        self._keys = {folded(mailbox.addr_spec): key for key, mailbox in mailboxes}
        self._has_own = bool(front.cc_fields)
        self._listed: dict[int, int] = {}  # the lines of all people, if rows name people in cc
        self._own: dict[str, Person] = {}  # the first row that names somebody in cc
        self._problems: list[Problem] = []

    def look_at(self, person: Person, own: Iterable[Mailbox] = ()) -> None:
        """Look at the next person of the list, and at those in cc of that row alone."""
        address = person.mailbox.addr_spec
        if key := self._keys and self._keys.get(folded(address)):
            place = f"{person.file}:{person.line}"
            what = f"{address} is in {key} of every letter, and on the list too ({place})"
            hint = f"Delete it from {key}, if its own letter is enough"
            line = self._text.line_of(key)
            problem = Problem(self._text.file, line, what, hint, Level.WARNING, address)
            self._problems.append(problem)
        if self._has_own:
            self._listed[hash(folded(address))] = person.line
            for box in own:
                self._own.setdefault(folded(box.addr_spec), person)

    def problems(self) -> Iterator[Problem]:
        """What was found."""
        yield from self._problems
        for address, person in self._own.items():
            if line := self._listed.get(hash(address)):
                what = f"{address} is in cc of this row's letter, and on the list too (line {line})"
                hint = "Empty the cell, if its own letter is enough"
                yield Problem(person.file, person.line, what, hint, Level.WARNING)


def consent_of(campaign: Campaign, letter: Letter, people: PeopleList) -> Consent:
    """Reads whether the people on a letter's list have agreed."""
    declared = campaign.settings.lists.get(letter.front.to)
    if declared is None or declared.consent == "all":
        return Consent(people.columns, of_all=declared is not None)
    is_soft = declared.consent == "soft opt-in"
    since = SOFT_OPT_IN_SINCE if is_soft else date.min
    proof = Proof(declared.words, declared.source, since, needs_yes=not is_soft)
    return Consent(people.columns, of_all=False, proof=proof)


def bulk_problems(
    campaign: Campaign,
    letter: Letter,
    frozen: Frozen | None,
    people: PeopleList | None,
    server: Server | None,
) -> Iterator[Problem]:
    """What keeps a bulk letter from being sent; nothing for a personal one."""
    if letter.front.kind != "bulk":
        return
    default = letter.default_text
    for key in COPIES:
        if getattr(default.front, key):
            what = f"a bulk letter cannot have {key}: it would get every copy"
            yield Problem(default.file, default.line_of(key), what, f"Delete {key}", mark=key)
    yield from _unsubscribe(campaign, server)
    if campaign.settings.sender.postal_address is None and not campaign.stands_in:
        what = "[sender] has no postal_address, which a bulk letter must show"
        hint = 'Write postal_address = "Name, Street 1, City, Country" under [sender]'
        yield Problem(SETTINGS_FILE, campaign.lines.line_of(("sender",)), what, hint, mark="")
    if frozen:
        for text in letter.texts.values():
            yield from _left_out(text, frozen)
    if people and not consent_of(campaign, letter, people).can_be_known:
        what = "the list says nothing about consent"
        hint = f"Add a column updates with yes, or declare consent in [lists.{letter.front.to}]"
        if consent_of(campaign, letter, people).proof:
            what = "the list cannot prove consent"
            hint = "Add the columns consent_date, consent_words and consent_source; what is the"
            hint += f" same in all rows can be words and source in [lists.{letter.front.to}]"
        yield Problem(people.file, people.table.header_line, what, hint)


def unknown_lists(campaign: Campaign) -> Iterator[Problem]:
    """Tables [lists.NAME] for lists that do not exist: consent depends on them."""
    known = campaign.settings.people
    for name in campaign.settings.lists:
        if name not in known:
            hint = nearest_hint(name, known, "Name its file in [people]", "[lists.{}]")
            line = campaign.lines.line_of(("lists", name))
            yield Problem(SETTINGS_FILE, line, f"there is no list {quoted(name)}", hint, mark=name)


def unknown_holidays(campaign: Campaign) -> Iterator[Problem]:
    """Holidays in [pace] that are not known, or cannot be without a library."""
    asked = campaign.settings.pace.holidays
    try:
        if asked:
            calendar(asked if isinstance(asked, str) else "CH")  # any: is the library there?
    except HolidaysUnknown as why:
        line = campaign.lines.line_of(("pace", "holidays"))
        yield Problem(SETTINGS_FILE, line, why.what, why.hint, mark="holidays")


def unclear_signing(campaign: Campaign) -> Iterator[Problem]:
    """What in [sign] keeps people from signing; letters can be sent all the same."""
    settings, sign = campaign.settings, campaign.settings.sign

    def doubt(key: str, what: str, hint: str) -> Problem:
        line = campaign.lines.line_of(("sign", key))
        return Problem(SETTINGS_FILE, line, what, hint, Level.WARNING, mark=key)

    if sign.mailto and not settings.inbox:
        what = "who signs by mail gets no confirmation: there is no [inbox] that reads the mail"
        hint = (
            f"Name the mailbox in [inbox] where {sign.mailto.addr_spec} arrives, or answer yourself"
        )
        yield doubt("mailto", what, hint)
    if sign.page and not sign.page.startswith("https://"):
        what = "[sign] page is no https: names and addresses could be read on their way"
        yield doubt("page", what, "Begin page with https://")
    if sign.letter is None:
        return
    letter = campaign.letters.get(sign.letter)
    if letter is None:
        known = f"Letters here: {', '.join(sorted(campaign.letters)) or 'none'}"
        hint = nearest_hint(sign.letter, campaign.letters, known, "{}")
        yield doubt("letter", f"there is no letter {quoted(sign.letter)} to sign", hint)
    elif letter.texts and (letter.front.kind == "bulk" or letter.front.follows):
        kind = "goes to a list" if letter.front.kind == "bulk" else "follows another"
        what = f"[sign] letter names {sign.letter}, which {kind}: it is no open letter"
        yield doubt("letter", what, "Name the letter that people are to sign")


def _unsubscribe(campaign: Campaign, server: Server | None) -> Iterator[Problem]:
    """Whether people can unsubscribe: by a click (RFC 8058), and by a mail (RFC 2369)."""
    ways, lines = campaign.settings.unsubscribe, campaign.lines
    line = lines.line_of(("unsubscribe",))
    if not ways or not (ways.url or ways.mailto):
        what = "a bulk letter needs a way to unsubscribe, and there is no [unsubscribe]"
        hint = 'Write there url = "https://..." (petition serve) and mailto = "leave+{token}@..."'
        yield Problem(SETTINGS_FILE, line, what, hint)
    elif ways.url and (fault := _fault_of_url(ways.url)):
        yield Problem(SETTINGS_FILE, lines.line_of(("unsubscribe", "url")), *fault, mark="url")
    elif server and ways.url is None:  # nobody unsubscribes from a rehearsal
        what = "[unsubscribe] has no url: Gmail and Yahoo require unsubscribing by one click"
        hint = 'Write url = "https://...", where petition serve answers'
        yield Problem(SETTINGS_FILE, line, what, hint, Level.WARNING)
    elif server and ways.mailto is None:
        what = "[unsubscribe] has no mailto, the only way that some mail programs know"
        hint = 'Write mailto = "leave+{token}@...", an address whose mail petition inbox reads'
        yield Problem(SETTINGS_FILE, line, what, hint, Level.WARNING)


def _fault_of_url(url: str) -> tuple[str, str] | None:
    if not url.startswith("https://"):
        return "one-click unsubscribing requires https (RFC 8058)", "Begin url with https://"
    if "?" in url or "#" in url:
        what = "url has a query or a fragment, and /u/ and a token are appended to it"
        return what, "Delete the ? or # and what follows"
    if len(url) > _URL_LIMIT or not url.isascii():
        return f"url is not ASCII, or longer than {_URL_LIMIT} characters", "Write a shorter one"
    return None


def _left_out(text: LetterText, frozen: Frozen) -> Iterator[Problem]:
    """What one of a text's two parts does not show to everybody."""
    compiled = frozen.compiled(text.language)
    shown = [shown_to_all(part) for part in (compiled.text, compiled.html)]
    end = text.body_line + text.body.rstrip().count("\n")
    for name, (what, words) in _SHOWN.items():
        if not all(name in names for names in shown):
            inside = f"{name} is in a condition" if name in text.body else f"the letter has {what}"
            hint = f"Write {words} at its end, outside of conditions"
            yield Problem(text.file, end, f"{inside}, which a bulk letter must show", hint, mark="")
