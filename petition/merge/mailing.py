"""What a bulk letter tells mail programs and providers: whose list it is, and how to leave it.

List-Unsubscribe (RFC 2369) with List-Unsubscribe-Post (RFC 8058), List-ID (RFC 2919), Feedback-ID
(Google's complaint reports) and Precedence. None of them says anything of the person.
"""

import hashlib
import re
from collections.abc import Iterator
from urllib.parse import quote

from jinja2 import nodes

from petition.identity import chance_unsubscribe_token
from petition.merge.document import Frozen
from petition.merge.headers import words_header
from petition.merge.sandbox import LetterEnvironment

HEADERS_FOR_ALL = ("List-ID", "Feedback-ID", "Precedence")
UNSUBSCRIBE, ONE_CLICK = "List-Unsubscribe", "List-Unsubscribe-Post"

_SENDER_ID = slice(0, 15)  # Google: 5 to 15 characters, the same in all of a sender's letters
_OF_AN_ADDRESS = "@!$*-._~'+="  # RFC 6068 2: what stands as it is in a mailto link


class Mailing:
    """The ways off the list of one bulk letter.

    Args:
        url: What the page for leaving begins with; None: there is none.
        mailto: The address for leaving, with or without `{token}`; None: there is none.
        for_all: The headers that all copies have, by name.
    """

    def __init__(self, url: str | None, mailto: str | None, for_all: dict[str, str]) -> None:
        self._url = url.rstrip("/") if url else None
        self._mailto = mailto
        self._for_all = for_all
        # All tokens are of one length, and what they stand in is folded alike.
        token = chance_unsubscribe_token()
        self._link = self._page_or_mail(token).split(token)
        self._headers = "".join(self._lines(token)).split(token)

    @classmethod
    def of(cls, frozen: Frozen) -> "Mailing | None":
        """That of a frozen letter; None: it is a personal one, or names no way."""
        ways = frozen.unsubscribe
        if not frozen.is_bulk or not any(ways):
            return None
        campaign, domain = _ascii(frozen.campaign_id), frozen.sender.domain
        sender = re.sub("[^a-z0-9]", "", domain)[_SENDER_ID].ljust(5, "0")
        values = (f"<{campaign}.{domain}>", f"{_ascii(frozen.letter)}:{campaign}:bulk:{sender}")
        return cls(*ways, dict(zip(HEADERS_FOR_ALL, (*values, "bulk"), strict=True)))

    def link(self, token: str) -> str:
        """Where a person's own link for leaving leads.

        Args:
            token: Their copy's token (identity.Signer.unsubscribe_token).
        """
        return token.join(self._link)

    def names(self) -> tuple[str, ...]:
        """The names of the headers, in their order."""
        one_click = (ONE_CLICK,) if self._url else ()
        return (UNSUBSCRIBE, *one_click, *self._for_all)

    def values(self, token: str) -> dict[str, str]:
        """The headers of a copy as a person reads them."""
        values = {UNSUBSCRIBE: " ".join(self._ways(token))}
        if self._url:
            values[ONE_CLICK] = "List-Unsubscribe=One-Click"
        return values | self._for_all

    def headers(self, token: str) -> str:
        """The headers of a copy, each with its line end."""
        return token.join(self._headers)

    def _lines(self, token: str) -> Iterator[str]:
        yield words_header(UNSUBSCRIBE, self._ways(token))
        if self._url:
            yield f"{ONE_CLICK}: List-Unsubscribe=One-Click\r\n"
        for name, text in self._for_all.items():
            yield words_header(name, [text])

    def _page_or_mail(self, token: str) -> str:
        return f"{self._url}/u/{token}" if self._url else self._mail_link(token)

    def _ways(self, token: str) -> list[str]:
        page = [self._page_or_mail(token)] if self._url else []
        mail = [self._mail_link(token)] if self._mailto else []
        ways = [f"<{way}>" for way in (*page, *mail)]
        return [f"{way}," for way in ways[:-1]] + ways[-1:]

    def _mail_link(self, token: str) -> str:
        """A mail that an inbox knows by its address, else by its subject."""
        to = self._mailto or ""
        subject = "unsubscribe" if "{token}" in to else f"unsubscribe%20{token}"
        return (
            f"mailto:{quote(to.replace('{token}', token), safe=_OF_AN_ADDRESS)}?subject={subject}"
        )


def _ascii(name: str) -> str:
    """A name as it can stand in a List-ID (RFC 2919 2: dot-atom-text) and a Feedback-ID."""
    if re.fullmatch(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", name):
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def shown_to_all(source: str) -> set[str]:
    """The names that a template prints whatever a row holds: outside of every condition.

    Args:
        source: The template of one part.
    """
    tree = LetterEnvironment(str).parse(source)
    printed = [node for one in tree.body if isinstance(one, nodes.Output) for node in one.nodes]
    return set(filter(None, map(_name_of, printed)))


def _name_of(node: nodes.Node) -> str:
    while isinstance(node, nodes.Filter) and node.node is not None:
        node = node.node
    if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name):
        return f"{node.node.name}.{node.attr}"
    return node.name if isinstance(node, nodes.Name) else ""
