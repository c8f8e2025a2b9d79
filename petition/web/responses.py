"""What all pages have in common: headers, limits of a request, and the reader's language."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from itertools import chain

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

Handler = Callable[[Request], Awaitable[Response]]

HEADER_LIMIT = 16_384  # bytes of all headers
AWAY_SECONDS = "120"  # after which to come back, where the log is away (RFC 9110 10.2.3)
_BODY_SECONDS = 10.0


def headers_for(style: str, more: str = "") -> dict[str, str]:
    """The headers of a page whose only style sheet is in it; nothing is loaded from anywhere.

    `more` are further directives of its policy (CSP 3).
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src 'sha256-{digest}'; {more}form-action 'self';"
            " base-uri 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",  # the address of a page may be its token
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex, nofollow",
    }


_HEADERS = headers_for("")


def plain(text: str, status: int) -> Response:
    """An answer for programs."""
    return PlainTextResponse(text, status, _HEADERS)


async def refusal(request: Request, fault: Exception) -> Response:  # noqa: ARG001
    """The answer to what no page is for."""
    status = fault.status_code if isinstance(fault, HTTPException) else 500
    answer = plain({404: "Not found.", 405: "Not allowed."}.get(status, ""), status)
    if isinstance(fault, HTTPException):
        answer.headers.update(fault.headers or {})  # Allow, of a 405 (RFC 9110 15.5.6)
    return answer


def has_large_headers(request: Request) -> bool:
    """Whether the headers are too large, which `refused_headers` answers."""
    return sum(map(len, chain.from_iterable(request.headers.raw))) > HEADER_LIMIT


def refused_headers() -> Response:
    """The answer to headers that are too large."""
    return plain("The headers are too large.", 431)


async def body_of(request: Request, limit: int) -> bytes | Response:
    """The body of a request, of at most `limit` bytes; or why there is none."""
    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    return plain("The body is too large.", 413)
    except TimeoutError:
        return plain("The body did not arrive.", 408)
    except ClientDisconnect:
        return plain("", 400)
    return body


_TOKEN = re.compile(r"[\W_]*([0-9a-f]{32})[\W_]*", re.IGNORECASE | re.ASCII)


def token_in(text: str) -> str:
    """The token of a link, or "": programs take a bracket or the full stop behind it for a part."""
    around = _TOKEN.fullmatch(text)
    return around[1] if around else ""


# A language range with its weight; whatever follows its first hyphen makes no difference here.
_RANGE = re.compile(r"\s*([a-zA-Z]{1,8})(?:-[\w-]{1,35})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")
_MOST_RANGES = 20


def language_for(accepted: str, others: Iterable[str], known: Collection[str]) -> str:
    """The language of a page, of those `known`: what the browser accepts, else the others'.

    `accepted` is the header Accept-Language (RFC 9110 12.5.4).
    """
    wanted = []
    for at, text in enumerate(accepted[:1_000].split(",")[:_MOST_RANGES]):
        if found := _RANGE.fullmatch(text):
            weight = float(found[2] or 1)
            if weight > 0:
                wanted.append((-weight, at, found[1].lower()))
    tags = [tag for _, _, tag in sorted(wanted)]
    tags += [other.lower().partition("-")[0] for other in others]
    return next((tag for tag in tags if tag in known), "en")
