"""The pages that a person sees: one heading, one sentence, at most one button.

No script, no picture, nothing of another site. The colours have a contrast of at least 7 to 1
(WCAG 2.2, 1.4.6), light and dark; the button is larger than 44 by 44 px (2.5.5).
"""

import base64
import hashlib
from dataclasses import dataclass
from html import escape

from petition.serve.words import WORDS

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

# Nothing is loaded from anywhere; the page's own style is known by its hash (CSP 3).
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


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one campaign.

    Args:
        sender: Who writes, as a reader knows them.
        address: Where answers go.
    """

    sender: str
    address: str

    def asking(self, language: str) -> str:
        """The page with the button. The form goes where the page came from."""
        words = WORDS[language]
        return self._page(language, words.ask, words.explain, _form(language))

    def done(self, language: str) -> str:
        """The page afterwards."""
        return self._page(language, WORDS[language].done, WORDS[language].after)

    def unknown(self, language: str) -> str:
        """The page of a link that is nobody's."""
        return self._page(language, WORDS[language].unknown, WORDS[language].mend)

    def noted(self, language: str) -> str:
        """The page where the log is busy, and the click waits for it in a file."""
        return self._page(language, WORDS[language].noted, WORDS[language].soon)

    def later(self, language: str) -> str:
        """The page where nothing could be written down, with the button once more."""
        words = WORDS[language]
        return self._page(language, words.later, words.again, _form(language))

    def _page(self, language: str, heading: str, text: str, form: str = "") -> str:
        address = escape(self.address)
        filled = escape(text).format(
            sender=f"<bdi>{escape(self.sender)}</bdi>",
            address=f'<a href="mailto:{address}">{address}</a>',
        )
        return (
            f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(heading)}</title>\n<style>{STYLE}</style>\n</head>\n"
            f"<body>\n<main>\n<h1>{escape(heading)}</h1>\n<p>{filled}</p>\n{form}</main>\n"
            "</body>\n</html>\n"
        )


def _form(language: str) -> str:
    return (
        f'<form method="post"><input type="hidden" name="{FIELD}" value="{VALUE}">'
        f"<button>{escape(WORDS[language].button)}</button></form>"
    )
