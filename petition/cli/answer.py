"""petition answer: writes down what somebody answered, with its evidence."""

from typing import TYPE_CHECKING, Annotated

import typer

from petition.cli.options import Json

if TYPE_CHECKING:
    from enum import StrEnum

    from petition.cli.workplace import Workplace
    from petition.outbox.answers import Said, StoredMail
    from petition.outbox.log import Log
    from petition.outbox.models import Copy

_STATUSES = (
    "unclassified, acknowledged, stalled, clarification, meeting, refused, partial, met, withdrawn"
)
_NOTHING = "Nothing was recorded"


def answer(
    context: typer.Context,
    who: Annotated[str, typer.Argument(metavar="ADDR", help="Their address, or the row's id.")],
    status: Annotated[str, typer.Argument(metavar="STATUS", help=f"{_STATUSES.capitalize()}.")],
    letter: Annotated[
        str | None,
        typer.Option("--letter", metavar="LETTER", help="To this letter, not the latest."),
    ] = None,
    demand: Annotated[
        list[str] | None,
        typer.Option("--demand", metavar="ID", help="About this demand; can be repeated."),
    ] = None,
    quote: Annotated[
        str | None, typer.Option("--quote", metavar="TEXT", help="The very words.")
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="CHANNEL", help="phone, door, letter or mail."),
    ] = None,
    mail: Annotated[
        str | None,
        typer.Option("--mail", metavar="ID", help="The mail it stands in: number or Message-ID."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write down what somebody answered by phone or at the door."""
    from petition.cli import console
    from petition.cli.workplace import Workplace
    from petition.errors import UsageError
    from petition.outbox.answers import RECORDED, Channel, Said, Status, write_down

    said = Status(_one_of(status, RECORDED, "answer"))
    came = _one_of(channel, tuple(Channel), "channel") if channel else ""
    # Half a surrogate pair stands for a byte that is no UTF-8, and no database takes it.
    words = (quote or "").strip().encode("utf-8", "replace").decode("utf-8")
    if not words and mail is None:
        raise UsageError(
            "an answer needs its evidence",
            'Write --quote "the very words", or --mail with the number of a mail',
        )
    with Workplace.open(context, writes=True) as place:
        log = place.existing_log
        stored = _mail(log, mail) if mail is not None else None
        copy = _copy(place, who, letter, stored)
        words = words or (stored.quote if stored else "")
        if stored and not words and not stored.message_id:
            what = f"mail {stored.id} has neither words nor a Message-ID"
            raise UsageError(what, f"Write --quote with its words. {_NOTHING}")
        answered = Said(
            Status(said),
            tuple(_demands(log, copy, demand or [])),
            came or ("mail" if stored else ""),
            words,
            stored.id if stored else None,
            _login(),
        )
        at = write_down(log, copy, answered)
        if as_json:
            console.json(_as_json(copy, answered, stored, at) | {"log": place.log_name})
            return
        _say(copy, answered, stored)
        place.say_which()


def _one_of(text: str, known: "tuple[StrEnum, ...]", noun: str) -> "StrEnum":
    from petition.campaign.names import nearest
    from petition.errors import UsageError

    for one in known:
        if text.lower() == one:
            return one
    near = nearest(text.lower(), known)
    mend = f"Did you mean {near}" if near else f"Write one of these: {', '.join(known)}"
    raise UsageError(f'"{text}" is no {noun}; nothing was recorded', mend)


def _mail(log: "Log", which: str) -> "StoredMail":
    from petition.errors import UsageError
    from petition.outbox.answers import stored_mails

    found = stored_mails(log, which)
    if not found:
        mend = "See petition status --answers and petition inbox --pile"
        raise UsageError(f'the log has no mail "{which}"', f"{mend}. {_NOTHING}")
    if len(found) > 1:
        numbers = ", ".join(str(one.id) for one in found)
        raise UsageError(f"mails {numbers} have this Message-ID", f"Name one of them. {_NOTHING}")
    return found[0]


def _copy(place: "Workplace", who: str, letter: str | None, stored: "StoredMail | None") -> "Copy":
    """The copy that is answered: of the letter that is named, of that the mail answers, the latest.

    Raises:
        UsageError: There is no such copy, or it is not clear whose.
    """
    from petition.cli.naming import addresses, letter_name
    from petition.errors import UsageError
    from petition.outbox.answers import copies_got

    named = addresses([who])[0] if "@" in who else who
    copies = copies_got(place.existing_log, named)
    if not copies:
        raise UsageError(f"no letter has been sent to {named}", _NOTHING)
    boxes = {copy.folded: copy.mailbox for copy in copies}
    if len(boxes) > 1:
        mend = f"Write the address: {', '.join(sorted(boxes.values()))}. {_NOTHING}"
        raise UsageError(f"several people have the id {named}", mend)
    answered = None
    if stored and stored.copy is not None:
        answered = next((copy for copy in copies if copy.id == stored.copy), None)
        if answered is None:
            raise UsageError(
                f"mail {stored.id} from {stored.sender} answers no letter to {named}",
                f"See petition status --answers. {_NOTHING}",
            )
    if letter is None:
        return answered or copies[-1]
    name = letter_name(place, letter)
    fitting = [copy for copy in copies if copy.letter == name]
    if not fitting:
        got = ", ".join(dict.fromkeys(copy.letter for copy in copies))
        raise UsageError(f"{named} has not got {name}", f"They got: {got}. {_NOTHING}")
    return fitting[-1]


def _demands(log: "Log", copy: "Copy", asked: list[str]) -> list[str]:
    if not asked:
        return []
    from petition.campaign.names import nearest
    from petition.errors import UsageError
    from petition.merge.document import Frozen
    from petition.report.ledger import demands_of

    frozen = log.frozen(copy.letter, copy.revision)
    known = [one.id for one in demands_of(log, Frozen.from_json(frozen.document))] if frozen else []
    for one in asked:
        if one in known:
            continue
        if not known:
            mend = f"Leave --demand out. {_NOTHING}"
            raise UsageError(f"{copy.letter} quotes no demands", mend)
        near = nearest(one, known)
        mend = f"Did you mean {near}" if near else f"Its demands: {', '.join(known)}"
        raise UsageError(f'{copy.letter} has no demand "{one}"; nothing was recorded', mend)
    return list(dict.fromkeys(asked))


def _login() -> str:
    """The login name of whoever runs the program, which the environment cannot change."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an account without an entry, as in some containers
        return f"uid {os.getuid()}"


def _as_json(copy: "Copy", said: "Said", stored: "StoredMail | None", at: str) -> dict[str, object]:
    return {
        "email": copy.mailbox,
        "name": copy.name,
        "letter": copy.letter,
        "revision": copy.revision,
        "status": said.status,
        "demands": list(said.demands),
        "channel": said.channel or None,
        "quote": said.quote,
        "mail": said.mail,
        "message_id": (stored.message_id or None) if stored else None,
        "at": at,
        "author": said.author,
    }


def _say(copy: "Copy", said: "Said", stored: "StoredMail | None") -> None:
    from petition.cli import console
    from petition.cli.answering import CAME

    about = f" ({', '.join(said.demands)})" if said.demands else ""
    came = f", {CAME[said.channel]}" if said.channel else ""
    who = copy.name or copy.mailbox
    console.say(console.clean(f"{who}, {copy.letter}{about}: {said.status}{came}."))
    words = " ".join(said.quote.split())
    evidence = f"“{words}”" if words else stored.message_id if stored else ""
    console.say(f"    {console.clean(evidence)}")
