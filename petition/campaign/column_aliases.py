"""Column names and yes/no values in the exports of campaigning systems.

The one table of them. Names are normalised (names.column_name): "No Bulk Emails (User Opt Out)" is
`no_bulk_emails_user_opt_out`. A column keeps its own name besides ours.

    Action Network   https://help.actionnetwork.org, report exports: can2_ and core fields
    ActionKit        core_user and its query reports
    NationBuilder    the people export
    CiviCRM          the contact export with its labels
    Mobilize         the event and people exports: user__ fields
    OSDI             https://opensupporter.org, person resource
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from petition.campaign.names import language_tag

ANSWERS = dict.fromkeys(("yes", "y", "true", "t", "1", "да", "иә"), True) | dict.fromkeys(
    ("no", "n", "false", "f", "0", "", "нет", "жоқ"), False
)


def answer(text: str) -> bool | None:
    """Whether a cell says yes, or no (as an empty one does); None: it is unclear."""
    return ANSWERS.get(text.strip().lower())


# Our names, and the names in exports, the likeliest first. `title` is not among them: in a list of
# targets it is a job title, not a form of address.
ALIASES: dict[str, tuple[str, ...]] = {
    "email": (
        "user_email_address",  # Mobilize: user__email_address
        "email_address",  # OSDI
        "primary_email",
        "signup_email",  # NationBuilder
        "e_mail",
        "email1",  # NationBuilder
    ),
    "first_name": ("given_name", "user_given_name", "signup_first_name"),
    "last_name": ("family_name", "user_family_name", "signup_last_name"),
    "name": ("display_name", "full_name", "signup_full_name"),
    "honorific": (
        "honorific_prefix",
        "individual_prefix",
        "name_prefix",
        "signup_prefix",
        "prefix",
    ),
    "language": ("preferred_language", "lang", "language_code", "user_preferred_language"),
    "id": (
        "uuid",  # Action Network
        "akid",  # ActionKit
        "nationbuilder_id",
        "contact_id",  # CiviCRM
        "internal_contact_id",
        "user_id",  # ActionKit; Mobilize: user__id
    ),
    "country": (
        "can2_user_country",
        "primary_country",
        "address_country_code",
        "primary_country_code",  # NationBuilder
        "user_country",
        "country_code",
    ),
    "postcode": (
        "zip_code",  # Action Network
        "postal_code",  # CiviCRM, OSDI
        "postal",  # ActionKit
        "zip",
        "primary_zip",  # NationBuilder
        "user_postal_code",  # Mobilize
        "address_zip",
    ),
    "city": (
        "can2_user_city",
        "primary_city",
        "address_city",
        "user_locality",
        "locality",
    ),
    # Action Network's can2_user_address is the street, not the mail address.
    "street": ("can2_user_address", "street_address", "primary_address1", "address1"),
    "phone": ("can2_phone", "phone_number", "user_phone_number", "mobile_number"),
    "organisation": ("current_employer", "employer", "organization_name", "organization"),
}

# Why a row is not written to, in the words of the log; the gravest first.
DECEASED = "deceased"
OPTED_OUT = "opted out"
UNSUBSCRIBED = "unsubscribed"
BOUNCED = "bounced before"
ON_HOLD = "on hold"
REASONS = (DECEASED, OPTED_OUT, UNSUBSCRIBED, BOUNCED, ON_HOLD)

# Columns with a yes if a row must not be written to.
_FLAGS = {
    DECEASED: ("is_deceased", "deceased", "deceased_closed"),
    OPTED_OUT: (
        "do_not_email",
        "no_bulk_emails_user_opt_out",
        "no_bulk_emails",
        "is_opt_out",
        "opt_out",
        "opted_out",
        "do_not_contact",
        "signup_do_not_contact",
    ),
    UNSUBSCRIBED: ("unsubscribed", "is_unsubscribed"),
    BOUNCED: ("bounced", "bouncing", "is_bouncing", "email1_is_bad", "email_is_bad"),
}
# Columns with a yes if a row may be written to; an empty cell is not consent.
OPT_INS = ("email_opt_in", "signup_email_opt_in", "user_email_opt_in")

# Columns with a word.
_HOLDS = ("on_hold", "email_on_hold")
STATUSES = ("can2_subscription_status", "subscription_status", "email_subscription_status")

_HOLD_WORDS = {"2": OPTED_OUT, "on hold opt out": OPTED_OUT, "on hold bounce": BOUNCED}
_STATUS_WORDS = {
    "": "",
    "subscribed": "",
    "unsubscribed": UNSUBSCRIBED,
    "never": UNSUBSCRIBED,  # ActionKit: has never subscribed
    "not subscribed": UNSUBSCRIBED,
    "bouncing": BOUNCED,
    "bounced": BOUNCED,
    "previous bounce": BOUNCED,
    "spam complaint": OPTED_OUT,
    "previous spam complaint": OPTED_OUT,
}

# CiviCRM exports "English (United Kingdom)"; these are the languages of letters, not all there are.
_LANGUAGE_NAMES = """
    arabic=ar catalan=ca chinese=zh czech=cs danish=da dutch=nl english=en finnish=fi french=fr
    german=de greek=el hebrew=he hungarian=hu italian=it japanese=ja kazakh=kk norwegian=no
    polish=pl portuguese=pt romanian=ro russian=ru slovak=sk spanish=es swedish=sv turkish=tr
    ukrainian=uk welsh=cy
"""
_LANGUAGES = dict(pair.split("=") for pair in _LANGUAGE_NAMES.split())
_LABELLED = re.compile(r"([a-z]+)(?:,? [a-z]+)?(?: ?[(;].*)?")


class Unclear(Exception):
    """A cell does not clearly say whether its row may be written to."""

    def __init__(self, column: str, hint: str) -> None:
        super().__init__(column)
        self.column, self.hint = column, hint


Mark = Callable[[str], str | None]


class Export:
    """What petition understands of a table's columns, by their normalised names."""

    def __init__(self, columns: Collection[str]) -> None:
        self.taken = {ours: theirs for ours, theirs in _taken(columns) if ours not in columns}
        self.added = tuple(self.taken)
        self._marks = list(_marks(columns))
        self.marks = tuple(column for column, _, _ in self._marks)

    def complete(self, cells: dict[str, str]) -> None:
        """Add our names to the cells of a row."""
        for ours, theirs in self.taken.items():
            cells[ours] = cells[theirs]
        if "language" in self.taken:
            cells["language"] = _tag_of(cells["language"])

    def excluded(self, cells: Mapping[str, str]) -> str:
        """Why the system that a row comes from says not to write to it, or "".

        Raises:
            Unclear: A cell can be read neither way.
        """
        if not self._marks:
            return ""
        found = set()
        for column, mark, hint in self._marks:
            reason = mark(" ".join(cells[column].lower().replace("_", " ").split()))
            if reason is None:
                raise Unclear(column, hint)
            found.add(reason)
        return next((reason for reason in REASONS if reason in found), "")


def _taken(columns: Collection[str]) -> Iterator[tuple[str, str]]:
    for ours, aliases in ALIASES.items():
        theirs = next((name for name in aliases if name in columns), None)
        if theirs:
            yield ours, theirs


def _marks(columns: Collection[str]) -> Iterator[tuple[str, Mark, str]]:
    marks: dict[str, Mark] = {
        column: _flag(yes=reason, no="") for reason, flags in _FLAGS.items() for column in flags
    }
    marks |= dict.fromkeys(OPT_INS, _flag(yes="", no=OPTED_OUT)) | dict.fromkeys(_HOLDS, _hold)
    for column, mark in marks.items():
        if column in columns:
            yield column, mark, 'Write "yes" or "no"'
    for column in STATUSES:
        if column in columns:
            known = ", ".join(f'"{word}"' for word in _STATUS_WORDS if word)
            yield column, _STATUS_WORDS.get, f"Known are {known}"


def _flag(*, yes: str, no: str) -> Mark:
    meaning = {True: yes, False: no, None: None}
    return lambda text: meaning[answer(text)]


def _hold(text: str) -> str | None:
    if text in _HOLD_WORDS:
        return _HOLD_WORDS[text]
    return {True: ON_HOLD, False: "", None: None}[answer(text)]


def _tag_of(text: str) -> str:
    """The language tag that a label means, or the text as it is."""
    if not text or language_tag(text):
        return text
    found = _LABELLED.fullmatch(text.lower())
    return _LANGUAGES.get(found[1], text) if found else text
