"""What a mail is: bounce, delay, auto-reply, unsubscribe, complaint or answer.

A pure function of its bytes: nothing is looked up, fetched, run or written.
"""

from petition.inbox.addresses import first_address
from petition.inbox.autoreply import autoreply_of
from petition.inbox.bounce import bounce_of
from petition.inbox.complaint import complaint_of
from petition.inbox.finding import Finding, Kind
from petition.inbox.limits import SetAside
from petition.inbox.mail import Part, read_mail
from petition.inbox.own_words import own_words
from petition.inbox.unsubscribe import is_to_unsubscribe, unsubscribe_of

_SHOWN = 300  # characters of an answer


def explain(data: bytes) -> Finding:
    """What a mail is, whatever bytes it is made of.

    Args:
        data: The mail, as a file or a server has it.
    """
    try:
        return sort(read_mail(data))
    except SetAside as aside:
        return set_aside(aside.reason)


def set_aside(reason: str) -> Finding:
    """The finding on a mail that is beyond a limit.

    Args:
        reason: Which one.
    """
    return Finding(None, None, None, None, f"set aside: {reason}")


def sort(mail: Part) -> Finding:
    """What a mail is that has been taken apart.

    Args:
        mail: The mail.

    Raises:
        SetAside: It is no mail.
    """
    if not mail.headers.fields:
        raise SetAside("it is no mail: it has no headers" if mail.data else "it is empty")
    if found := complaint_of(mail) or bounce_of(mail):
        return found
    if is_to_unsubscribe(mail):
        return unsubscribe_of(mail) or _answer(mail)
    return autoreply_of(mail) or unsubscribe_of(mail) or _answer(mail)


def _answer(mail: Part) -> Finding:
    words = " ".join(own_words(mail).split())
    who = first_address(mail.headers.text("from")) or None
    shown = words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…"
    return Finding(Kind.ANSWER, who, None, None, shown or "it has no words of its own")
