"""The pages of the endpoint, in the languages that they speak.

No script, no picture, nothing of another site. The colours have a contrast of at least 7 to 1
(WCAG 2.2, 1.4.6), light and dark; the button is larger than 44 by 44 px (2.5.5).
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language: `{sender}` is who writes, `{address}` is where answers go.

    Args:
        ask: The heading of the page that asks.
        button: Its one button.
        explain: What the button does.
        done: The heading afterwards.
        after: What a reader should know then.
        unknown: The heading of a link that is nobody's.
        hint: What to do then.
        noted: The heading where the log is busy, and the wish is kept until it is not.
        soon: What a reader should know then.
        later: The heading where it could not be written down.
        again: What to do then.
    """

    ask: str
    button: str
    explain: str
    done: str
    after: str
    unknown: str
    hint: str
    noted: str
    soon: str
    later: str
    again: str


WORDS = {
    "en": Words(
        ask="No more letters?",
        button="Unsubscribe",
        explain="Press the button, and you will get no more letters from {sender}.",
        done="You are unsubscribed",
        after="{sender} will not write to you again. A letter that is on its way may still arrive.",
        unknown="This link is not known",
        hint="It may have been cut off: copy all of it from the letter, or write to {address}.",
        noted="Your request is recorded",
        soon="It takes effect as soon as the list can be opened again, usually within"
        " minutes. You need not do anything more.",
        later="This did not work",
        again="Please try again in a few minutes, or write to {address}.",
    ),
    "ru": Words(
        ask="Больше не писать?",
        button="Отписаться",
        explain="Нажмите кнопку, и вы больше не будете получать писем от «{sender}».",
        done="Вы отписаны",
        after="{sender} больше не будет вам писать. Письмо, которое уже в пути, ещё может прийти.",
        unknown="Эта ссылка неизвестна",
        hint="Возможно, она обрезана: скопируйте её из письма целиком или напишите на {address}.",
        noted="Ваша просьба записана",
        soon="Она вступит в силу, как только список снова станет доступен, обычно через"
        " несколько минут. Больше ничего делать не нужно.",
        later="Не получилось",
        again="Попробуйте ещё раз через несколько минут или напишите на {address}.",
    ),
    "kk": Words(
        ask="Бұдан былай хат жазбайық па?",
        button="Жазылымнан бас тарту",
        explain="Түймені бассаңыз, сізге {sender} атынан енді хат келмейді.",
        done="Сіз жазылымнан бас тарттыңыз",
        after="{sender} сізге енді жазбайды. Жолға шығып кеткен хат әлі келуі мүмкін.",
        unknown="Бұл сілтеме белгісіз",
        hint="Сілтеме үзіліп қалған болар: оны хаттан толық көшіріңіз немесе {address} мекенжайына"
        " жазыңыз.",
        noted="Өтінішіңіз жазып алынды",
        soon="Ол тізім қайта ашылғанда, әдетте бірнеше минут ішінде, күшіне енеді. Басқа"
        " ештеңе істеудің қажеті жоқ.",
        later="Орындалмады",
        again="Бірнеше минуттан кейін қайталап көріңіз немесе {address} мекенжайына жазыңыз.",
    ),
    "de": Words(
        ask="Keine Briefe mehr?",
        button="Abmelden",
        explain="Drücken Sie den Knopf, und Sie erhalten keine Briefe mehr von {sender}.",
        done="Sie sind abgemeldet",
        after="{sender} schreibt Ihnen nicht mehr. Ein Brief, der schon unterwegs ist, kann noch"
        " ankommen.",
        unknown="Dieser Link ist nicht bekannt",
        hint="Vielleicht ist er abgeschnitten: Kopieren Sie ihn ganz aus dem Brief, oder schreiben"
        " Sie an {address}.",
        noted="Ihr Wunsch ist notiert",
        soon="Er gilt, sobald die Liste wieder erreichbar ist, meist nach wenigen Minuten."
        " Sie müssen nichts weiter tun.",
        later="Das hat nicht geklappt",
        again="Bitte versuchen Sie es in einigen Minuten noch einmal, oder schreiben Sie an"
        " {address}.",
    ),
    "fr": Words(
        ask="Ne plus recevoir de lettres ?",
        button="Se désabonner",
        explain="Appuyez sur le bouton, et vous ne recevrez plus de lettres de {sender}.",
        done="Vous êtes désabonné·e",
        after="{sender} ne vous écrira plus. Une lettre déjà partie peut encore arriver.",
        unknown="Ce lien est inconnu",
        hint="Il a peut-être été coupé : copiez-le en entier depuis la lettre, ou écrivez à"
        " {address}.",
        noted="Votre demande est enregistrée",
        soon="Elle prendra effet dès que la liste sera de nouveau accessible, en général en"
        " quelques minutes. Vous n’avez rien d’autre à faire.",
        later="Cela n’a pas fonctionné",
        again="Veuillez réessayer dans quelques minutes, ou écrivez à {address}.",
    ),
    "es": Words(
        ask="¿No recibir más cartas?",
        button="Darse de baja",
        explain="Pulse el botón y no recibirá más cartas de {sender}.",
        done="Se ha dado de baja",
        after="{sender} no volverá a escribirle. Una carta que ya está en camino aún puede llegar.",
        unknown="Este enlace no se conoce",
        hint="Quizá esté cortado: cópielo entero de la carta, o escriba a {address}.",
        noted="Su solicitud ha quedado anotada",
        soon="Surtirá efecto en cuanto la lista vuelva a estar disponible, normalmente en"
        " unos minutos. No tiene que hacer nada más.",
        later="No ha funcionado",
        again="Inténtelo de nuevo dentro de unos minutos, o escriba a {address}.",
    ),
    "uk": Words(
        ask="Більше не писати?",
        button="Відписатися",
        explain="Натисніть кнопку, і ви більше не отримуватимете листів від «{sender}».",
        done="Вас відписано",
        after="{sender} більше не писатиме вам. Лист, який уже в дорозі, ще може надійти.",
        unknown="Це посилання невідоме",
        hint="Можливо, його обрізано: скопіюйте його з листа повністю або напишіть на {address}.",
        noted="Ваше прохання записано",
        soon="Воно набуде чинності, щойно список знову стане доступним, зазвичай за кілька"
        " хвилин. Більше нічого робити не потрібно.",
        later="Не вдалося",
        again="Спробуйте ще раз за кілька хвилин або напишіть на {address}.",
    ),
}

# A language range with its weight; what stands behind its first hyphen makes no difference here.
_RANGE = re.compile(r"\s*([a-zA-Z]{1,8})(?:-[\w-]{1,35})?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")
_MOST_RANGES = 20


def language_for(accepted: str, others: Iterable[str]) -> str:
    """The language of a page."""
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
        return self._page(language, WORDS[language].unknown, WORDS[language].hint)

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
