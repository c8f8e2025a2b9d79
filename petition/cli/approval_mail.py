"""The mail that asks an approver: the plan, the letter and three copies, without addresses."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from petition.address import Mailbox, masked
from petition.campaign.people import Person
from petition.errors import MergeRefused
from petition.merge.fill import MARK_BEGIN, MARK_END
from petition.merge.service_mail import ServiceText
from petition.outbox.approvals import MARK, ApprovalRequest
from petition.planning.prepare import Prepared
from petition.report import book
from petition.report.book import BookCopy
from petition.sending.person import person_of

COPIES = 3
_COMPARED = 200  # copies among which the unusual ones are found
_SHOWN = ("From", "Reply-To", "To", "Cc", "Bcc", "Subject")
_ON_THIS_MACHINE = frozenset({"log"})  # lines of the plan that say nothing to an approver
BOOK = "copies.html"

_ASKS = """\
{author} asks you to approve a letter of {campaign}.
Nobody gets it before it is approved. (This mail was written by a program, which
also reads your reply; so do people. {mark})

To approve: reply from {approver},
and write this code above the quoted mail:

    {code}

To stop it: reply with "No, because ..." Nothing is sent then, and those who
asked see your words.

The code belongs to you, to this text, this list and this server. If one of them
changes, it is worth nothing, and you are asked again.
{enough}
"""


class ApprovalMail:
    """What the approvers of a letter are told; most of it is the same for all."""

    def __init__(
        self, prepared: Prepared, plan: Iterable[tuple[str, str]], files: Iterable[tuple[str, str]]
    ) -> None:
        frozen = prepared.plan.frozen
        self._prepared = prepared
        self._files = tuple(files)
        own = filter(None, (frozen.sender, frozen.sender_reply_to))
        self._own = [one.addr_spec for one in own]
        parts = (_plan(plan), _letter(prepared), "\n".join(_copies(prepared)))
        self._shown = "\n\n".join(self._masked(part) for part in parts)

    def to(self, approver: Mailbox, request: ApprovalRequest, code: str) -> ServiceText:
        """The mail to one approver."""
        frozen, number = self._prepared.plan.frozen, request.copies
        people = f"{number:,} {'person' if number == 1 else 'people'}"
        asks = _ASKS.format(
            author=request.author,
            campaign=f'"{frozen.title}"',
            mark=MARK,
            approver=approver.addr_spec,
            code=code,
            enough=_enough(request),
        )
        subject = f'Approve "{request.letter}" to {people}? ({frozen.title})'
        return ServiceText("en", subject, f"{asks}\n{self._shown}\n", files=self._files)

    def _masked(self, text: str) -> str:
        return masked(text, self._own)


def _enough(request: ApprovalRequest) -> str:
    asked = len(request.approvers)
    if asked == 1:
        return "Nobody else was asked."
    if asked == request.needed:
        return f"All {asked} who were asked have to approve."
    return f"{asked} were asked; {request.needed} of them have to approve, and each can stop it."


def _heading(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _plan(lines: Iterable[tuple[str, str]]) -> str:
    kept = [(name, text) for name, text in lines if name not in _ON_THIS_MACHINE]
    wide = max(len(name) for name, _ in kept)
    return _heading("The plan") + "\n".join(f"{name:<{wide}}  {text}" for name, text in kept)


def _letter(prepared: Prepared) -> str:
    """The letter as it is written, in all languages, with the places that each row fills."""
    frozen = prepared.plan.frozen
    texts = (
        f"[{frozen.file(one)}]\n\nSubject: {frozen.document['texts'][one]['source'].strip()}"
        for one in frozen.languages
    )
    return _heading("The letter, as it is written") + "\n\n".join(texts)


def _copies(prepared: Prepared) -> Iterator[str]:
    """The first copy, and those that differ most from the others."""
    made = _made(prepared, _COMPARED, with_html=False)
    first = made[:1]
    book.put_unusual_first(made)
    chosen = [*first, *(one for one in made if one not in first)][:COPIES]
    how = "the first, and those that differ most from the others"
    is_all = len(chosen) == len(made)
    yield _heading("All copies" if is_all else f"{len(chosen)} copies: {how}")
    for copy in chosen:
        yield _shown(prepared, copy.person)


def _made(prepared: Prepared, most: int, *, with_html: bool) -> list[BookCopy]:
    merger, revision = prepared.merger, prepared.plan.revision
    sample = book.BookSample(most)
    for row in prepared.listing.to_send():
        person = person_of(row)
        sample.add(person, is_fallback=merger.language_of(person)[1])
    made, clock = [], prepared.log.clock()
    for person in sample.people():
        with suppress(MergeRefused):  # it was checked before
            language, is_fallback = merger.language_of(person)
            page = merger.html(person, revision) if with_html else ""
            shown = merger.show(person, revision, clock)
            made.append(BookCopy(person, shown, page, language, is_fallback))
    return made


def _shown(prepared: Prepared, person: Person) -> str:
    """A copy as a person reads it; its link to unsubscribe is nobody's."""
    merger, clock = prepared.merger, prepared.log.clock()
    _, shown = merger.trial(person, clock, person.mailbox, prepared.plan.revision)
    headers = dict(shown.headers)
    if copied := (*prepared.plan.frozen.copied("cc"), *merger.own_cc(person)):
        headers["Cc"] = ", ".join(map(str, copied))
    if hidden := prepared.plan.frozen.copied("bcc"):
        headers["Bcc"] = ", ".join(map(str, hidden))
    lines = [f"{name}: {headers[name]}" for name in _SHOWN if headers.get(name)]
    lines += [f"Attached: {name}" for name in shown.attached]
    text = re.sub(f"[{MARK_BEGIN}{MARK_END}]", "", shown.text).strip()
    return "\n".join(chain(lines, ("", text, "", "-" * 20)))


def book_of(prepared: Prepared) -> tuple[str, str]:
    """The book of copies as a page to attach: its name and content. It holds addresses."""
    made = _made(prepared, book.MOST_COPIES, with_html=True)
    whole = book.Book(
        prepared.plan.frozen.title,
        prepared.letter,
        prepared.comparison.to_send,
        made,
        [],
        is_rehearsal=False,
        sampled="" if len(made) == prepared.comparison.to_send else "spread evenly over the list",
    )
    with TemporaryDirectory(prefix="petition-") as folder:
        path = Path(folder) / BOOK
        book.write(whole, path)
        return BOOK, path.read_text(encoding="utf-8")
