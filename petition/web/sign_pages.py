"""The pages of the form and of a signature: HTML, with the words of the reader's language.

Every text that somebody typed passes `tag`, which escapes it. The pages have no script, load
nothing, and look like the public site (WCAG 2.2 AA): an error stands beside its field and above the
form, and what was typed is kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from html import escape
from string import Template
from typing import Any
from zoneinfo import ZoneInfo

from petition import signing
from petition.campaign.folder import Campaign
from petition.campaign.text_file import packaged, packaged_toml
from petition.merge.freeze import signed_now
from petition.merge.frozen_signatures import Gone
from petition.merge.open_letter import OpenLetter
from petition.outbox.signatures import UNCONFIRMED_DAYS, Review, SignatureEntry, SignatureRecord
from petition.report import site_pages
from petition.report.letter_markup import letter_markup
from petition.report.markup import SHOWN, Html, tag, void
from petition.report.public import without_addresses
from petition.report.site import Signed, require_signatories, signed_of
from petition.signing import ORGANISATION, SigningDesk
from petition.template.fields import counted, locale_of, long_date, own_name
from petition.template.signatories import country_code, disclaimer, has_words, in_order, name_order

WORDS: dict[str, dict[str, Any]] = packaged_toml("web/sign_words.toml")
STYLE = packaged("report/style.css") + packaged("report/site.css") + packaged("web/sign.css")
_PAGE = Template(packaged("web/sign.html"))

TEXTS = ("name", "role", ORGANISATION, "place", "country")  # fields of a signature that are typed
TICKS = {"kind": ORGANISATION, "publish": "yes", "updates": "yes"}  # and those that are ticked
TRAP, STAMP, DO = "comment", "stamp", "do"  # what else the forms have
_MOST_NAMES = 300

# What a browser can fill in (HTML, 4.10.18.7.1).
_FILLED = {
    "name": "name",
    "email": "email",
    "role": "organization-title",
    ORGANISATION: "organization",
    "place": "address-level2",
    "country": "country",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody typed into a form, and what is wrong with it."""

    cells: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)  # by field: a key of `refused`
    notice: str = ""  # a key of `faults` in sign_words.toml, about the form as a whole
    minutes: int = 0  # of the notice


@dataclass(frozen=True)
class LetterToSign:
    """The letter that is signed, as everybody may read it, and who has signed."""

    desk: SigningDesk
    is_rehearsal: bool
    letters: Mapping[str, OpenLetter]  # by language; the default one comes first
    demands: Mapping[str, Sequence[Mapping[str, str]]]  # the same
    signed: Signed
    has_site: bool  # whether the site lies beside the form

    def pages(self, language: str) -> "SignPages":
        """The pages in one of the languages of WORDS."""
        return self._pages.setdefault(language, SignPages(self, language))

    @cached_property
    def _pages(self) -> dict[str, "SignPages"]:
        return {}


def letter_shown(desk: SigningDesk, campaign: Campaign, *, has_site: bool) -> LetterToSign:
    """The letter as its files or the log have it, with those who have signed by now.

    CampaignError if the signatories are not clear; MergeRefused if it cannot be shown.
    """
    require_signatories(campaign)
    frozen = signed_now(signing.letter_to_sign(desk.log, campaign), campaign, without_addresses)
    letters = {one: OpenLetter(frozen, one) for one in frozen.languages}
    for letter in letters.values():
        _ = letter.subject, letter.blocks  # which may be refused
    demands = {one: frozen.demands(one) for one in frozen.languages}
    signed = signed_of(frozen, campaign)
    return LetterToSign(desk, desk.log.rehearses, letters, demands, signed, has_site)


class SignPages:
    """The pages in one language."""

    def __init__(self, shown: LetterToSign, language: str) -> None:
        self.language = language
        self._shown = shown
        self._words = WORDS[language]
        self._of_site = site_pages.WORDS[language]
        found = (one for one in shown.letters if one.partition("-")[0] == language)
        self._written_in = next(found, next(iter(shown.letters)))
        self._letter = shown.letters[self._written_in]
        self._agreed = shown.desk.agreed(language)

    # ---- the form

    def form(self, stamp: str, typed: Typed | None = None) -> str:
        """The letter with its form; with something `typed`, the form alone."""
        heading = tag("h1", self._subject)
        form = [tag("h2", self._of_site["sign"], id="form"), self._form(stamp, typed or Typed())]
        if typed:
            body = [*self._faults(typed), heading, *form]
        else:
            body = [heading, *self._before, *form, *self._after]
        return self._page(self._letter.subject, body, wrong=bool(typed))

    @cached_property
    def _before(self) -> list[Html]:
        """What stands above the form."""
        return list(self._about())

    @cached_property
    def _after(self) -> list[Html]:
        """What stands below it."""
        return list(self._signatories())

    def _about(self) -> Iterator[Html]:
        total = self._shown.signed.total
        if total:
            number = counted({"other": "{}"}, total, self.language)
            said = counted(self._of_site["signed"], total, self.language)
            yield tag("p", f"{number} {said}", class_="lead")
        yield tag("p", tag("a", self._of_site["sign"], href="#form", class_="button"), class_="go")
        if demands := self._shown.demands.get(self._written_in):
            yield tag("h2", self._of_site["demands"])
            titles = (tag("li", one["title"], lang=self._written_in) for one in demands)
            yield tag("ol", *titles, class_="titles")
        text = letter_markup(self._letter.blocks)
        direction = locale_of(self._written_in).text_direction
        letter = tag("div", text, class_="letter", lang=self._written_in, dir=direction)
        summary = tag("summary", self._words["full"])
        shown = tag("details", summary, letter)
        yield shown if demands else Html(shown.replace("<details>", "<details open>", 1))

    def _signatories(self) -> Iterator[Html]:
        signed, language = self._shown.signed, self.language
        published = in_order([dict(one) for one in signed.published], language)
        if not published:
            return
        yield tag("h2", self._of_site["signatories"])
        names = [site_pages.signatory(one, language) for one in published[:_MOST_NAMES]]
        yield tag("ul", *names, class_="names")
        if others := signed.total - len(names):
            yield tag("p", self._counted("others", others))
        if any(one["role"] or one["organisation"] for one in published):
            spoken = language if has_words(language) else "en"
            yield tag("p", disclaimer(language), lang=spoken, class_="soft go")

    def _form(self, stamp: str, typed: Typed) -> Html:
        trap = [tag("label", self._words["trap"], for_="trap")]
        trap += [void("input", id="trap", name=TRAP, autocomplete="off", tabindex="-1")]
        return self._sent(
            *(self._field(name, typed) for name in ("name", "email", *TEXTS[1:])),
            *self._ticks(typed.cells),
            tag("p", *trap, class_="trap"),
            _hidden(STAMP, stamp),
            tag("p", self._agreed["sign"], class_="sworn"),
            tag("p", self._agreed["kept"], class_="soft"),
            tag("button", self._words["button"], class_="button"),
        )

    def _field(self, name: str, typed: Typed) -> Html:
        words, value = self._words["fields"], typed.cells.get(name, "")
        is_needed = name in {"name", "email"} or name in typed.faults
        described = [f"{name}-{one}" for one, is_there in self._beside(name, typed) if is_there]
        attributes: dict[str, str] = {"id": name, "name": name, "autocomplete": _FILLED[name]}
        attributes["aria_invalid"] = "true" if name in typed.faults else ""
        attributes["aria_describedby"] = " ".join(described)
        optional = [] if is_needed else [" ", tag("span", self._words["optional"])]
        parts = [tag("label", words[name], *optional, for_=name)]
        if why := typed.faults.get(name):
            parts.append(tag("p", self._refused(why), id=f"{name}-fault", class_="wrong"))
        if name == "country":
            parts.append(tag("select", *self._countries(value), **attributes))
        else:
            kind = "email" if name == "email" else "text"
            shown = void("input", type=kind, value=value, **attributes)
            parts.append(Html(f"{str(shown)[:-1]} required>") if is_needed else shown)
        if name == "email":
            parts.append(tag("small", words["email_hint"], id="email-hint"))
        return tag("div", *parts, class_="field")

    def _beside(self, name: str, typed: Typed) -> Iterator[tuple[str, bool]]:
        yield "fault", name in typed.faults
        yield "hint", name == "email"

    def _countries(self, chosen: str) -> Iterator[Html]:
        code = country_code(chosen, self.language)
        yield _option("", self._words["no_country"], is_chosen=not chosen)
        if chosen and not code:  # what a mail said
            yield _option(chosen, chosen, is_chosen=True)
        value = f'value="{code}"'
        yield Html(_countries_in(self.language).replace(value, f"{value} selected", 1))

    def _ticks(self, cells: Mapping[str, str]) -> Iterator[Html]:
        for name, value in TICKS.items():
            box = void("input", type="checkbox", name=name, value=value)
            if cells.get(name) == value:
                box = Html(f"{str(box)[:-1]} checked>")
            yield tag("label", box, tag("span", self._agreed[value if name == "kind" else name]),
                      class_="tick")  # fmt: skip

    def _faults(self, typed: Typed) -> Iterator[Html]:
        """What is wrong, above the form; it gets the focus, so that it is read out first."""
        if typed.notice:
            text = self._words["faults"][typed.notice]
            said = text if isinstance(text, str) else counted(text, typed.minutes, self.language)
            inner = [tag("p", said)]
        else:
            inner = [tag("p", tag("strong", self._words["fault"]))]
            wrong = (
                tag("li", tag("a", f"{self._words['fields'][name]}: {self._refused(why)}",
                              href=f"#{name}"))
                for name in ("name", "email", *TEXTS[1:]) if (why := typed.faults.get(name))
            )  # fmt: skip
            inner.append(tag("ul", *wrong))
        box = tag("div", *inner, class_="faults", role="alert", tabindex="-1")
        yield Html(str(box).replace("<div ", "<div autofocus ", 1))

    def _refused(self, why: str) -> str:
        return signing.WORDS[self.language]["refused"][why]

    # ---- what follows

    def sent(self, mailbox: str) -> str:
        """The page after the form was sent."""
        words = self._words["sent"]
        body = [
            tag("h1", words["heading"]),
            self._said(words["text"], mailbox),
            self._said(words["more"], mailbox),
            *self._links(again="sign"),
        ]
        return self._page(words["heading"], [tag("div", *body, class_="told")])

    def ask(self, signature: SignatureRecord, typed: Typed | None = None) -> str:
        """The page of a signature that nobody has confirmed yet."""
        words = self._words["ask"]
        told = [self._said(words["text"], signature.mailbox)]
        told.append(tag("p", self._counted("ask.not_you", UNCONFIRMED_DAYS), class_="soft"))
        form = self._own_form("confirm", signature, typed, words["button"])
        body = [tag("h1", words["heading"]), tag("div", *told, class_="told"), form]
        return self._own_page(words["heading"], body, typed)

    def yours(
        self,
        signature: SignatureRecord,
        gone: Sequence[Gone],
        *,
        done: str = "",
        typed: Typed | None = None,
    ) -> str:
        """The page of a signature that was confirmed; `done` is a key of `yours`, or empty."""
        words = self._words["yours"]
        state = {Review.WAITING: "waiting", Review.APPROVED: "approved"}.get(
            signature.review, "hidden"
        )
        told = [tag("p", tag("strong", words[done]), role="status")] if done else []
        told += [self._said(words[state]), self._said(words["keep"])]
        body = [
            tag("h1", words["heading"]),
            tag("div", *told, class_="told"),
            tag("h2", words["change"]),
            self._said(words["mailbox"], signature.mailbox),
            self._own_form("change", signature, typed, words["button"]),
            tag("h2", self._words["gone"]["heading"]),
            *self._gone(gone),
            self._sent(
                _hidden(DO, "withdraw"),
                tag("button", self._words["gone"]["button"], class_="button quiet"),
            ),
        ]
        return self._own_page(words["heading"], body, typed)

    def withdrawn(self, gone: Sequence[Gone]) -> str:
        """The page of a signature that was withdrawn."""
        words = self._words["withdrawn"]
        told = [self._said(words["text"])]
        told += self._where(gone, "after") if gone else []
        body = [tag("h1", words["heading"]), tag("div", *told, class_="told")]
        return self._page(words["heading"], [*body, *self._links(again="../sign")], depth=1)

    def plain(self, name: str, depth: int = 0) -> str:
        """A page without a form: unknown, later, large."""
        words = self._words[name]
        told = [tag("h1", words["heading"]), self._said(words["text"])]
        again = self._links(again="../" * depth + "sign") if name != "later" else []
        return self._page(words["heading"], [tag("div", *told, class_="told"), *again], depth=depth)

    def _own_form(
        self, do: str, signature: SignatureRecord, typed: Typed | None, button: str
    ) -> Html:
        shown = typed or Typed(cells_of(signature.entry))
        return self._sent(
            *(self._field(name, shown) for name in TEXTS),
            *self._ticks(shown.cells),
            _hidden(DO, do),
            tag("p", self._agreed["sign"], class_="sworn"),
            tag("p", self._agreed["kept"], class_="soft"),
            tag("button", button, class_="button"),
        )

    def _own_page(self, title: str, body: Sequence[Html], typed: Typed | None) -> str:
        faults = self._faults(typed) if typed else []
        return self._page(title, [*faults, *body], depth=1, wrong=bool(typed))

    def _gone(self, gone: Sequence[Gone]) -> Iterator[Html]:
        words = self._words["gone"]
        yield self._said(words["text"])
        if gone:
            yield from self._where(gone, "before")
        else:
            yield tag("p", words["nowhere"])

    def _where(self, gone: Sequence[Gone], heading: str) -> Iterator[Html]:
        yield tag("p", self._words["gone"][heading])
        zone = ZoneInfo(self._shown.desk.settings.campaign.timezone)
        days = [one.first.astimezone(zone).date() if one.first else None for one in gone]
        entries = (
            self._counted(
                "gone.copies", one.copies, day=long_date(day, self.language) if day else "?"
            )
            for one, day in zip(gone, days, strict=True)
        )
        yield tag("ul", *(tag("li", one) for one in entries))

    # ---- around each page

    def _page(
        self, title: str, body: Iterable[Html], *, depth: int = 0, wrong: bool = False
    ) -> str:
        words, shown = self._words, self._shown
        notice = tag("p", words["rehearsal"], class_="rehearsal") if shown.is_rehearsal else ""
        head = tag("div", *self._header(depth), class_="site")
        main = tag("main", *body, id="content", tabindex="-1")
        skip = tag("a", self._of_site["skip"], href="#content", class_="skip")
        whole = [skip, tag("header", notice, head), main]
        marks = [words["rehearsal"]] if shown.is_rehearsal else []
        marks += [words["fault"]] if wrong else []
        page = _PAGE.substitute(
            language=self.language,
            direction=locale_of(self.language).text_direction,
            title=escape(" ".join([*marks, title])),
            style=STYLE,
            body="\n".join(whole),
        )
        return page.translate(SHOWN)

    def _header(self, depth: int) -> Iterator[Html]:
        title = tag("bdi", self._shown.desk.settings.campaign.title)
        home = self._home(depth)
        yield tag("p", tag("a", title, href=home) if home else title)
        tags = [one.partition("-")[0] for one in self._shown.letters]
        known = list(dict.fromkeys(one for one in tags if one in WORDS))
        if len(known) > 1:
            links = (
                tag("li", tag("a", own_name(one), href=f"?language={one}", lang=one, hreflang=one,
                              aria_current="true" if one == self.language else ""))
                for one in known
            )  # fmt: skip
            yield tag("nav", tag("ul", *links), aria_label=self._of_site["languages"])

    def _home(self, depth: int) -> str:
        """The campaign's site: beside the form, or elsewhere."""
        settings = self._shown.desk.settings
        return "./" + "../" * depth if self._shown.has_site else settings.publish.url or ""

    def _links(self, again: str) -> list[Html]:
        link = tag("a", self._words["again"], href=f"{again}?language={self.language}")
        return [tag("p", link, class_="go")]

    @property
    def _subject(self) -> Html:
        direction = locale_of(self._written_in).text_direction
        return tag("span", self._letter.subject, lang=self._written_in, dir=direction)

    def _sent(self, *inner: Html) -> Html:
        """A form, which is sent to where its page came from; its faults are told by us."""
        return Html(f'<form method="post" novalidate>{"".join(inner)}</form>')

    def _said(self, text: str, mailbox: str = "") -> Html:
        sender = self._shown.desk.settings.sender
        contact = (sender.reply_to or sender.from_).addr_spec
        address = tag("a", contact, href=f"mailto:{contact}")
        return tag("p", Html(escape(text).format(address=address, mailbox=tag("bdi", mailbox))))

    def _counted(self, name: str, number: int, **more: str) -> str:
        words = self._words
        for part in name.split("."):
            words = words[part]
        return counted(words, number, self.language, **more)


def cells_of(entry: SignatureEntry) -> dict[str, str]:
    """What a form says of a signature."""
    texts = {name: str(getattr(entry, name)) for name in (*TEXTS, "kind")}
    return texts | {name: "yes" if getattr(entry, name) else "" for name in ("publish", "updates")}


def _hidden(name: str, value: str) -> Html:
    return void("input", type="hidden", name=name, value=value)


def _option(value: str, name: str, *, is_chosen: bool) -> Html:
    chosen = " selected" if is_chosen else ""
    return Html(f'<option value="{escape(value)}"{chosen}>{escape(name)}</option>')


@cache
def _countries_in(language: str) -> Html:
    """The countries as options, in the order of a language."""
    names = {
        code: str(name)
        for code, name in locale_of(language).territories.items()
        if country_code(code) == code and code not in _NO_COUNTRIES
    }
    order = name_order(language)
    known = sorted(names.items(), key=lambda one: order(one[1]))
    return Html("".join(_option(code, name, is_chosen=False) for code, name in known))


# What CLDR names besides countries and territories that people live in.
_NO_COUNTRIES = frozenset({"AC", "AQ", "BV", "CP", "CQ", "DG", "EA", "EU", "EZ", "HM", "IC", "QO"})
_NO_COUNTRIES |= {"TA", "TF", "UM", "UN", "XA", "XB", "ZZ"}
