"""Letters for tests, made in memory."""

import email
import email.policy
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import Path

from petition.address import Mailbox
from petition.campaign.folder import Campaign
from petition.campaign.letter import Demand, FrontMatter, Letter, LetterText
from petition.campaign.people import Person
from petition.campaign.settings import Settings
from petition.campaign.signatories import Signatory
from petition.errors import CampaignError, Problem
from petition.identity import Signer
from petition.merge.document import Frozen
from petition.merge.freeze import freeze
from petition.merge.message import Email, Merger

TODAY = date(2015, 10, 12)
NOW = datetime(2015, 10, 12, 9, 30, 5, tzinfo=UTC)
BODY_LINE = 5
SUBJECT_LINE = 3
COLUMNS = ("id", "email", "name", "title", "salutation", "language", "page")

DEMANDS = (
    Demand(1, "stop-it", "Stop it", "Stop it **now**.\nAt once.", 1),
    Demand(2, "pay", "Pay <fairly> & in full", "See [why](https://example.org/why).", 5),
)


def signatory(name: str, line: int = 2, *, publish: bool = True, **more: str) -> Signatory:
    cells = {"role": "", "organisation": "", "place": "", "country": "", "kind": "individual"}
    return Signatory(
        line=line,
        name=name,
        **{**cells, **more},
        email="secret@example.org",
        signed_on=None,
        publish=publish,
        updates=False,
    )


SIGNATORIES = (
    signatory("Hazel Thorn", role="teacher", place="London"),
    signatory("Law & Centre", kind="organisation", country="Poland"),
    signatory("Hidden One", publish=False),
)


def text_of(body: str, subject: str = "Hello", language: str = "en", **front) -> LetterText:
    matter = FrontMatter(subject=subject, **front)
    suffix = "" if language == "en" else f".{language}"
    return LetterText(
        file=f"letters/open-letter{suffix}.md",
        language=language,
        subject=subject,
        subject_line=SUBJECT_LINE,
        body=body,
        body_line=BODY_LINE,
        front=matter,
        lines={},
    )


def campaign_of(
    *texts: LetterText,
    demands=None,
    signatories=SIGNATORIES,
    root: Path = Path(),
    events=None,
    unsubscribe=None,
    **sender,
) -> Campaign:
    settings = Settings.model_validate(
        {
            "campaign": {
                "title": "Four demands",
                "id": "four-demands",
                "languages": ["en", "ru", "kk", "de"],
                "timezone": "Europe/London",
            },
            "sender": {"from": "Campaign <letter@campaign.example>", **sender},
            "events": events or {},
            **({"unsubscribe": unsubscribe} if unsubscribe else {}),
        }
    )
    files = {text.language: text.file for text in texts}
    letter = Letter("open-letter", files, {text.language: text for text in texts})
    campaign = Campaign(root, settings)
    campaign.letters[letter.name] = letter
    campaign.demands = {"en": DEMANDS} if demands is None else demands
    campaign.signatories = tuple(signatories)
    return campaign


def freeze_texts(*texts: LetterText, columns=COLUMNS, today=TODAY, **around) -> Frozen:
    campaign = campaign_of(*texts, **around)
    letter = campaign.letters["open-letter"]
    return freeze(campaign, letter, campaign_id="four-demands", today=today, columns=columns)


def problems_of(*texts: LetterText, **around) -> list[Problem]:
    try:
        freeze_texts(*texts, **around)
    except CampaignError as fault:
        return fault.problems
    return []


def merger_of(body: str, subject: str = "Hello", *, columns=COLUMNS, **around) -> Merger:
    front = {key: around.pop(key) for key in ("cc", "bcc", "reply_by") if key in around}
    text = text_of(body, subject, **front)
    return Merger(freeze_texts(text, columns=columns, **around), Signer(b"k" * 32))


def person_of(address: str = "kim@kaz.example", language: str = "", **cells: str) -> Person:
    fields = {**dict.fromkeys(COLUMNS, ""), "name": "Vladimir Kim", **cells}
    return Person(
        file="recipients.csv",
        line=7,
        number=6,
        id=fields["id"],
        mailbox=Mailbox(fields["name"], address),
        language=language,
        fields={**fields, "email": address, "language": language},
    )


def merged(body: str, subject: str = "Hello", *, person: Person | None = None, **around) -> Email:
    merger = merger_of(body, subject, **around)
    return merger.merge(person or person_of(), 1, NOW, full=True)


def parts_of(data: bytes) -> tuple[EmailMessage, str, str]:
    """An email as the standard library reads it, its plain text and its HTML."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return message, text, html


def plain_of(body: str, person: Person | None = None, **around) -> str:
    """The plain text of a letter, without marks around its values."""
    shown = merger_of(body, **around).show(person or person_of(), 1, NOW)
    return shown.text.replace("\x02", "").replace("\x03", "")


def html_of(body: str, person: Person | None = None, **around) -> str:
    """What stands in the letter's HTML between its first and its last element."""
    whole = merger_of(body, **around).html(person or person_of(), 1)
    inner = whole.split('class="letter"', 1)[1].split(">", 1)[1]
    return inner.rsplit("</div>", 1)[0].strip()
