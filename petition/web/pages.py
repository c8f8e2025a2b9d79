"""The pages of the unsubscribe endpoint, in each language.

They have no script, no picture, and nothing from another site. The colours have a contrast of at
least 7 to 1 (WCAG 2.2, 1.4.6), light and dark; the button is larger than 44 by 44 px (2.5.5).
"""

import base64
import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib.resources import files

# By language: the heading and the text of each page, and the label of its button.
WORDS = tomllib.loads((files("petition.web") / "words.toml").read_text(encoding="utf-8"))

# A language range with its weight; whatever follows its first hyphen makes no difference here.
_RANGE = re.compile(r"\s*([a-zA-Z]{1,8})(?:-[\w-]{1,35})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")
_MOST_RANGES = 20


def language_for(accepted: str, others: Iterable[str]) -> str:
    """The language of a page: what the browser accepts (RFC 9110 12.5.4), else the others'."""
    wanted = []
    for at, text in enumerate(accepted[:1_000].split(",")[:_MOST_RANGES]):
        if found := _RANGE.fullmatch(text):
            weight = float(found[2] or 1)
            if weight > 0:
                wanted.append((-weight, at, found[1].lower()))
    tags = [tag for _, _, tag in sorted(wanted)]
    tags += [other.lower().partition("-")[0] for other in others]
    return next((tag for tag in tags if tag in WORDS), "en")


STYLE = """\
:root{color-scheme:light dark;--page:#fff;--text:#1b1b1b;--button:#0b4a85;--label:#fff}
@media (prefers-color-scheme:dark){
:root{--page:#14171a;--text:#f1f1f1;--button:#a8d0ff;--label:#0b1a2b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);
font:1.125rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:34rem;margin:0 auto;padding:12vh 1.25rem 3rem;overflow-wrap:anywhere}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 1rem}
p{margin:0 0 1.5rem}
a{color:inherit}
button{font:inherit;font-weight:600;min-height:3rem;padding:.75rem 1.75rem;border:2px solid
transparent;border-radius:.5rem;background:var(--button);color:var(--label);cursor:pointer}
button:hover{text-decoration:underline}
button:focus-visible,a:focus-visible{outline:3px solid var(--text);outline-offset:3px}
@media (max-width:26rem){main{padding-top:3rem}button{width:100%}}
"""

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")

# Nothing is loaded from anywhere; the page's own style is allowed by its hash (CSP 3).
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address of the page is its token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}

# RFC 8058 3.2: what the one click of a mail program sends, and our button too.
FIELD, VALUE = "List-Unsubscribe", "One-Click"
WITH_BUTTON = ("ask", "later")


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one campaign.

    Args:
        sender: The sender's name, as readers know it.
        address: Where answers go.
    """

    sender: str
    address: str

    def html(self, name: str, language: str) -> str:
        """A page by its name in words.toml."""
        words = WORDS[language]
        heading, address = escape(words[name]["heading"]), escape(self.address)
        filled = escape(words[name]["text"]).format(
            sender=f"<bdi>{escape(self.sender)}</bdi>",
            address=f'<a href="mailto:{address}">{address}</a>',
        )
        # The form is sent to where the page came from.
        form = (
            f'<form method="post"><input type="hidden" name="{FIELD}" value="{VALUE}">'
            f"<button>{escape(words['button'])}</button></form>"
        )
        return (
            f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{heading}</title>\n<style>{STYLE}</style>\n</head>\n"
            f"<body>\n<main>\n<h1>{heading}</h1>\n<p>{filled}</p>\n"
            f"{form if name in WITH_BUTTON else ''}</main>\n</body>\n</html>\n"
        )
