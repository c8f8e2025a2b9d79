"""What must hold of a letter to many before it may leave: ways off the list, address, consent."""

from collections.abc import Iterator

from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.letter import Letter, LetterText
from petition.campaign.names import nearest, quoted
from petition.campaign.people import PeopleList
from petition.campaign.server import Server
from petition.campaign.supporters import Consent
from petition.errors import Level, Problem
from petition.merge.document import Frozen
from petition.merge.headers import shown_to_all

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
    """What keeps a bulk letter from leaving; nothing of a personal one.

    Args:
        campaign: The loaded campaign.
        letter: One of its letters that has a text.
        frozen: The same as it would be frozen; None where its problems forbid it.
        people: Its list; None where it cannot be read.
        server: Where it would go; None: the sandbox.
    """
    if letter.front.kind != "bulk":
        return
    yield from _copies(letter)
    yield from _ways_off(campaign, server)
    yield from _address(campaign)
    if frozen:
        for text in letter.texts.values():
            yield from _left_out(text, frozen)
    if people and not consent_of(campaign, letter, people).can_be_known:
        what = "nobody on this list is known to want letters: it says nothing of consent"
        mend = f"Add a column updates with yes, or declare consent in [lists.{letter.front.to}]"
        yield Problem(people.file, people.table.header_line, what, mend)


def unknown_lists(campaign: Campaign) -> Iterator[Problem]:
    """Tables [lists.NAME] of lists that there are not: somebody's consent hangs on a slip."""
    known = campaign.settings.people
    for name in campaign.settings.lists:
        if name not in known:
            near = nearest(name, known)
            mend = f"Did you mean [lists.{near}]" if near else "Name its file in [people]"
            line = campaign.lines.line_of(("lists", name))
            yield Problem(SETTINGS_FILE, line, f"there is no list {quoted(name)}", mend, mark=name)


def _copies(letter: Letter) -> Iterator[Problem]:
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
        mend = 'Write there url = "https://..." (petition serve) and mailto = "leave+{token}@..."'
        yield Problem(SETTINGS_FILE, lines.line_of(("unsubscribe",)), what, mend)
        return
    if ways.url is None:
        what = "[unsubscribe] has no url: Gmail and Yahoo want to unsubscribe with one click"
        mend = 'Write url = "https://...", where petition serve answers'
    elif (fault := _fault_of_url(ways.url)) is not None:
        line = lines.line_of(("unsubscribe", "url"))
        yield Problem(SETTINGS_FILE, line, *fault, mark="url")
        return
    elif ways.mailto is None:
        what = "[unsubscribe] has no mailto, and some mail programs know no other way"
        mend = 'Write mailto = "leave+{token}@...", an address whose mail petition inbox reads'
    else:
        return
    if server:  # a rehearsal leaves nobody on a list
        line = lines.line_of(("unsubscribe",))
        yield Problem(SETTINGS_FILE, line, what, mend, Level.WARNING)


def _fault_of_url(url: str) -> tuple[str, str] | None:
    if not url.startswith("https://"):
        return "one click must be safe on its way (RFC 8058)", "Begin url with https://"
    if "?" in url or "#" in url:
        mend = "Leave out what stands behind ? or #"
        return "/u/ and a token are put behind url, which ends in a query or fragment", mend
    if len(url) > _URL_LIMIT or not url.isascii():
        return f"url is not ASCII, or longer than {_URL_LIMIT} characters", "Write a shorter one"
    return None


def _address(campaign: Campaign) -> Iterator[Problem]:
    if campaign.settings.sender.postal_address is None and not campaign.stands_in:
        what = "[sender] has no postal_address, which a bulk letter must show"
        mend = 'Write postal_address = "Name, Street 1, City, Country" under [sender]'
        yield Problem(SETTINGS_FILE, campaign.lines.line_of(("sender",)), what, mend, mark="")


def _left_out(text: LetterText, frozen: Frozen) -> Iterator[Problem]:
    """What a text does not show to everybody, in one of its two parts."""
    compiled = frozen.compiled(text.language)
    shown = [shown_to_all(part.source) for part in (compiled.text, compiled.html)]
    end = text.body_line + text.body.rstrip().count("\n")
    for name, (what, words) in _SHOWN.items():
        if not all(name in names for names in shown):
            inside = f"{name} stands in a condition" if name in text.body else f"it has {what}"
            mend = f"Write {words} at its end, outside of conditions"
            yield Problem(text.file, end, f"{inside}, which a bulk letter must show", mend, mark="")
