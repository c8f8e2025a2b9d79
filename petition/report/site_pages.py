"""The files of a campaign's public site: pages in each language, feeds, documents, a picture.

The pages have no script and ask for nothing, which they also forbid the browser. Every text of a
cell, an answer or a letter passes `tag`, which escapes it, and is a link only where the author of
the letter made one. The same `Site` gives the same bytes.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from functools import cached_property
from html import escape
from importlib.util import find_spec
from string import Template
from typing import Any
from urllib.parse import quote

from petition.campaign.text_file import packaged, packaged_toml
from petition.errors import MergeRefused
from petition.merge.pdf import can_typeset, draw
from petition.outbox.answers import RECORDED, Status
from petition.report.ledger import AWAITED
from petition.report.letter_markup import letter_markup
from petition.report.markup import SHOWN, Html, tag, void
from petition.report.page import MOST_PEOPLE
from petition.report.site import ShownAnswer, ShownRecipient, Site
from petition.template.fields import counted, locale_of, long_date, own_name
from petition.template.signatories import (
    comma,
    country_name,
    disclaimer,
    has_words,
    in_order,
    unnamed_line,
)

WORDS: dict[str, dict[str, Any]] = packaged_toml("report/site_words.toml")
NEEDED = {"typst": "pdf", "segno": "publish"}  # what libraries are for, by the extra that has them

_CHANNELS = {"phone": "phone", "door": "door", "mail": "mail", "letter": "by_letter"}
_FEW = 3  # answers on the first page
_SOME = 20  # recipients there
_ENTRIES = 60  # of a feed
_DESCRIPTION = 300  # characters


def missing_libraries(site: Site) -> list[str]:
    """The libraries that are not installed and that the site would have used."""
    wanted = ["typst", *(["segno"] if site.sign_mailto or site.sign_url else [])]
    return [one for one in wanted if find_spec(one) is None]


def files_of(site: Site, notes: list[str]) -> dict[str, bytes]:
    """Every file of the site by its path, without the pages; `notes` tells what cannot be made."""
    found = {f"documents/{name}": data for name, data in site.documents.items()}
    for language in site.letters:
        edition = Edition(site, language)
        found[edition.folder + "feed.xml"] = edition.feed().encode()
        if not can_typeset():
            continue
        try:
            stamp = edition.words["rehearsal"] if site.is_rehearsal else ""
            found[edition.folder + "letter.pdf"] = site.letters[language].pdf(stamp)
        except MergeRefused as why:
            notes.append(f"There is no PDF in {language}: {why.problem.what}.")
        if picture := edition.picture():
            found[edition.folder + "picture.png"] = picture
        else:
            notes.append(f"There is no picture in {language}: typst has no font for its title.")
    return found


def pages_of(site: Site, files: Iterable[str]) -> dict[str, bytes]:
    """The pages by their paths; `files` are the site's other files, to which they link."""
    there = frozenset(files)
    return {
        edition.folder + name: page.encode()
        for edition in (Edition(site, language, there) for language in site.letters)
        for name, page in edition.pages()
    }


class Edition:
    """The site in one language."""

    def __init__(self, site: Site, language: str, files: frozenset[str] = frozenset()) -> None:
        self.site, self.language = site, language
        self._files = files
        self._default = next(iter(site.letters))
        primary = language.partition("-")[0]
        self._spoken = language if primary in WORDS else "en"
        self.words = WORDS[self._spoken.partition("-")[0]]
        self.folder = self._folder_of(language)
        self._up = "" if language == self._default else "../"

    def _folder_of(self, language: str) -> str:
        return "" if language == self._default else f"{language}/"

    def pages(self) -> Iterator[tuple[str, str]]:
        """The names of its pages, and the pages."""
        words, site = self.words, self.site
        subject = site.letters[self.language].subject
        yield "index.html", self._page("index.html", subject, self._front(subject))
        yield "letter.html", self._page("letter.html", subject, self._letter(subject))
        headed = {"answers": self._answers, "signatories": self._signatories}
        headed |= {"sign": self._sign} if self._can_sign else {}
        for name, body in headed.items():
            heading = words[name]
            inner = [tag("h1", heading), *body()]
            yield f"{name}.html", self._page(f"{name}.html", f"{heading}: {subject}", inner)

    @property
    def _can_sign(self) -> bool:
        return bool(self.site.sign_mailto or self.site.sign_url)

    # ---- around each page

    def _page(self, name: str, title: str, body: Iterable[Html]) -> str:
        words = self.words
        notice = [tag("p", words["rehearsal"], class_="rehearsal")]
        head = tag("div", *self._header(name), class_="site")
        top = tag("header", *(notice if self.site.is_rehearsal else []), head)
        skip = tag("a", words["skip"], href="#content", class_="skip")
        main = tag("main", *body, id="content", tabindex="-1")
        whole = [skip, top, main, tag("footer", *self._footer(), class_="soft")]
        prefix = f"{words['rehearsal']} " if self.site.is_rehearsal else ""
        page = Template(packaged("report/site.html")).substitute(
            language=self._spoken,
            direction=locale_of(self._spoken).text_direction,
            title=escape(prefix + title),
            head="\n".join(self._meta(name, title)),
            style=packaged("report/style.css") + packaged("report/site.css"),
            body="\n".join(whole),
        )
        return page.translate(SHOWN)

    def _meta(self, name: str, title: str) -> Iterator[str]:
        """What search engines, feed readers and programs that share links look for."""
        site, words = self.site, self.words
        yield void("link", rel="icon", href="data:,")  # otherwise a browser asks for one
        described = self._sent() or site.title
        if site.is_rehearsal:
            described = f"{words['rehearsal']} {described}"
        yield void("meta", name="description", content=described[:_DESCRIPTION])
        yield void("meta", property="og:type", content="website")
        yield void("meta", property="og:title", content=title)
        yield void("meta", property="og:description", content=described[:_DESCRIPTION])
        yield void("meta", property="og:site_name", content=site.title)
        yield void("meta", property="og:locale", content=str(locale_of(self.language)))
        if site.url:  # these have to be whole addresses
            here = f"{site.url}{self.folder}"
            yield void("link", rel="canonical", href=here + ("" if name == "index.html" else name))
            yield void("meta", property="og:url", content=here + name)
            if f"{self.folder}picture.png" in self._files:
                yield void("meta", property="og:image", content=f"{here}picture.png")
                yield void("meta", property="og:image:width", content="1200")
                yield void("meta", property="og:image:height", content="630")
                yield void("meta", property="og:image:alt", content=title)
                yield void("meta", name="twitter:card", content="summary_large_image")
        feed = {"type": "application/atom+xml", "title": words["news"], "href": "feed.xml"}
        yield void("link", rel="alternate", **feed)
        for language in site.letters:
            if language != self.language:
                href = f"{self._up}{self._folder_of(language)}{name}"
                yield void("link", rel="alternate", hreflang=language, href=href)

    def _header(self, name: str) -> Iterator[Html]:
        words = self.words
        title = tag("bdi", self.site.title, lang=self._default)
        yield tag("p", tag("a", title, href="index.html"))
        names = ["letter", "answers", "signatories", *(["sign"] if self._can_sign else [])]
        entries = [("index.html", words["home"]), *((f"{one}.html", words[one]) for one in names)]
        pages = (
            tag("li", tag("a", text, href=file, aria_current="page" if file == name else ""))
            for file, text in entries
        )
        yield tag("nav", tag("ul", *pages), aria_label=words["pages"], class_="bar-of-pages")
        if len(self.site.letters) > 1:
            others = (
                tag(
                    "li",
                    tag(
                        "a",
                        own_name(one),
                        href=f"{self._up}{self._folder_of(one)}{name}",
                        lang=one,
                        hreflang=one,
                        aria_current="true" if one == self.language else "",
                    ),
                )
                for one in self.site.letters
            )
            yield tag("nav", tag("ul", *others), aria_label=words["languages"])

    def _footer(self) -> Iterator[Html]:
        """When the page was made, and from what."""
        site, words = self.site, self.words
        yield tag("p", words["made"].format(day=self._day(site.made_on)))
        frozen_on = self._day(site.frozen_on)
        text = words["of_letter"].format(
            site.frozen.revision, day=frozen_on, hash=site.frozen.hash[:16]
        )
        yield tag("p", text)
        heard = words["of_no_answers"]
        if site.heard_on:
            heard = words["of_answers"].format(day=self._day(site.heard_on))
        yield tag("p", heard)
        yield tag("p", words["of_signatories"].format(day=self._day(site.made_on)))
        yield tag("p", tag("a", words["news"], href="feed.xml"))
        if site.url:  # for those who read it on paper
            yield tag("p", site.url + self.folder, class_="printed")

    # ---- the pages

    def _front(self, subject: str) -> Iterator[Html]:
        site, words = self.site, self.words
        yield self._in_letters_language("h1", subject)
        if lead := self._sent():
            if site.reply_by:
                lead += " " + words["reply_by"].format(day=self._day(site.reply_by))
            yield tag("p", lead, class_="lead")
        tiles = (
            tag("div", tag("dt", name), tag("dd", self._number(number)), class_=kind)
            for number, name, kind in self._figures()
        )
        yield tag("dl", *tiles, class_="tiles")
        go = [tag("a", words["read"], href="letter.html", class_="button")]
        if self._can_sign:
            go.append(tag("a", words["sign"], href="sign.html", class_="button"))
        yield tag("p", *go, class_="go")
        if demands := site.demands[self.language]:
            yield tag("h2", words["demands"])
            yield tag("ol", *map(self._demand, demands), class_="demands")
        if site.recipients:
            yield tag("h2", words["by_recipient"])
            if len(site.recipients) <= _SOME:
                yield self._matrix()
            yield tag("p", tag("a", words["all_answers"], href="answers.html"), class_="go")
        told = [one for one in site.stalls if one.words] or site.stalls
        if told:
            yield tag("h2", words["stalled"])
            yield from map(self._quotation, told[-_FEW:])
        yield from self._documents()

    def _figures(self) -> Iterator[tuple[int, str, str]]:
        """What is counted, with the words for it and whether that is grave."""
        site = self.site
        total, sent_to = site.signed.total, len(site.recipients)
        if total:
            yield total, self._form("signed", total), ""
        yield sent_to, self._form("recipients", sent_to), ""
        if sent_to:
            waiting = sent_to - site.answered
            yield site.answered, self.words["answered"], ""
            yield waiting, self.words["unanswered"], "grave" if waiting else ""
            if site.longest:
                yield site.longest, self._form("longest", site.longest), "grave"

    def _demand(self, demand: Mapping[str, Any]) -> Html:
        language = self.language
        title = tag("strong", demand["title"], lang=language)
        paragraphs = (tag("p", one, lang=language) for one in demand["text"].split("\n\n") if one)
        return tag("li", title, *paragraphs, *self._to(demand["id"]), id=f"demand-{demand['id']}")

    def _to(self, demand: str) -> Iterator[Html]:
        """How many gave which answer to a demand, as a bar and in words."""
        given = Counter(one.by_demand.get(demand, Status.NONE) for one in self.site.recipients)
        parts, labels = [], []
        for status in (*RECORDED, Status.NONE):
            if number := given[status]:
                colour = "skipped" if status is Status.NONE else f"{status}-t"
                style = f"border-color:var(--{colour})"
                parts.append(tag("span", style=f"{style};flex-grow:{number}"))
                labels.append(
                    tag("li", f"{self._number(number)} {self._status(status)}", style=style)
                )
        if parts:
            yield tag("div", *parts, class_="bar")
            yield tag("ul", *labels, class_="key")

    def _matrix(self) -> Html:
        """Each recipient, and where they stand."""
        rows = (
            tag("li", tag("div", *self._who(one)), tag("div", *self._stands(one)))
            for one in self.site.recipients
        )
        return tag("ul", *rows, class_="rows")

    def _stands(self, one: ShownRecipient) -> Iterator[Html]:
        """For how long they have not answered, or what they said to which demand."""
        said = set(one.by_demand.values())
        in_part = not said <= AWAITED
        # On the first day that is all there is to say, unless they put it off.
        days = self._status(Status.NONE) if said == {Status.NONE} else ""
        if one.days:
            form = ("rest" if in_part else "waiting") if one.is_waiting else "after"
            days = self._form(form, one.days)
        if one.overdue:
            days += ", " + self._form("overdue", one.overdue)
        if days and Status.UNCLASSIFIED not in said:  # which may be the answer
            yield tag("p", days, class_="wait late" if one.overdue else "wait")
        titles = {each["id"]: each["title"] for each in self.site.demands[self.language]}
        whole = one.by_demand[""]
        by_status: dict[Status, list[Html]] = {}
        for key, title in titles.items():
            if (status := one.by_demand.get(key, Status.NONE)) not in {Status.NONE, whole}:
                by_status.setdefault(status, []).append(tag("bdi", title, lang=self.language))
        if whole is not Status.NONE:
            entire = [Html(escape(self.words["whole"])), *by_status.pop(whole, [])]
            by_status = {whole: entire} | by_status
        for status, parts in by_status.items():
            style = f"background:var(--{status}-b);color:var(--{status}-t)"
            badge = tag("span", self._status(status), class_="badge", style=style)
            yield tag("p", badge, Html(" " + "; ".join(parts)))

    def _letter(self, subject: str) -> Iterator[Html]:
        letter = self.site.letters[self.language]
        heading = self._in_letters_language("h1", subject)
        locale = locale_of(self.language)
        text = letter_markup(letter.blocks)
        yield tag(
            "article", heading, text, class_="letter", lang=self.language, dir=locale.text_direction
        )
        yield from self._documents()

    def _documents(self) -> Iterator[Html]:
        names = [one for one in sorted(self._files) if one.startswith("documents/")]
        entries = [tag("a", one.partition("/")[2], href=self._up + quote(one)) for one in names]
        if f"{self.folder}letter.pdf" in self._files:
            entries.insert(0, tag("a", self.words["pdf"], href="letter.pdf"))
        if entries:
            yield tag("h2", self.words["documents"])
            yield tag("ul", *(tag("li", one) for one in entries), class_="plain")

    def _answers(self) -> Iterator[Html]:
        site, words = self.site, self.words
        yield tag("p", self._sent(), class_="lead")
        demands = site.demands[self.language]
        if demands:
            yield tag("h2", words["by_demand"])
            rows = (
                tag(
                    "li",
                    tag("div", tag("bdi", one["title"], lang=self.language)),
                    tag("div", *self._to(one["id"])),
                )
                for one in demands
            )
            yield tag("ul", *rows, class_="rows")
        yield tag("h2", words["by_recipient"])
        yield tag("p", words["too_many"]) if len(site.recipients) > MOST_PEOPLE else self._matrix()
        stalled, others = site.stalls, [one for one in site.answers if one not in site.stalls]
        for heading, answers in ((words["stalled"], stalled), (words["told"], others)):
            if answers:
                yield tag("h2", heading)
                yield from map(self._quotation, answers)
        is_anybody_named = any(one.name for one in site.recipients)
        told = [words["counts"], *([] if is_anybody_named else [words["by_office"]])]
        yield tag("p", " ".join(told), class_="soft go")

    def _quotation(self, one: ShownAnswer) -> Html:
        # What a person noted down is in a language that is not known.
        words = tag("p", one.words, lang="und", dir="auto") if one.words else None
        titles = {each["id"]: each["title"] for each in self.site.demands[self.language]}
        about = "; ".join(titles[key] for key in one.demands if key in titles)
        day = tag("time", self._day(one.at.date()), datetime=f"{one.at:%Y-%m-%d}")
        how = _CHANNELS.get(one.channel, "")
        by: list[object] = [day, f", {self.words[how]}"] if how else [day]
        by += [": ", self._status(one.status)]
        by += [" (", tag("bdi", about, lang=self.language), ")"] if about else []
        quoted = tag("blockquote", words) if words else tag("p", self.words["no_words"])
        caption = (tag("div", *self._who(one.who)), tag("div", *by))
        return tag("figure", quoted, tag("figcaption", *caption, class_="soft"))

    def _signatories(self) -> Iterator[Html]:
        site, language, total = self.site, self.language, self.site.signed.total
        published = in_order([dict(one) for one in site.signed.published], language)
        yield tag("p", f"{self._number(total)} {self._form('signed', total)}")
        entries = [signatory(one, language) for one in published]
        if not entries:
            yield tag("p", self.words["nobody"])
        unnamed = total - len(entries)
        yield from [tag("ul", *entries, class_="names")] if entries else []
        spoken = language if has_words(language) else "en"
        if unnamed and entries:
            yield tag("p", unnamed_line(unnamed, language, follows=True), lang=spoken)
        if any(one["role"] or one["organisation"] for one in published):
            yield tag("p", disclaimer(language), lang=spoken, class_="soft go")

    def _sign(self) -> Iterator[Html]:
        site, words = self.site, self.words
        yield tag("p", words["sign_text"], class_="lead")
        leads_to = site.sign_url or self._mailto(with_body=False)
        if site.sign_url:
            link = tag("a", site.sign_url, href=site.sign_url)
            yield tag("p", words["sign_form"] + " ", link, class_="text")
        if site.sign_mailto:
            before, _, after = words["sign_mail"].partition("{}")
            link = tag("a", site.sign_mailto, href=self._mailto())
            yield tag("p", before, link, after, class_="text")
        if find_spec("segno"):
            label = words["sign_alt"].format(site.sign_url or site.sign_mailto)
            yield tag("p", words["sign_square"], class_="text")
            yield tag("div", _square(leads_to), class_="square", role="img", aria_label=label)

    def _mailto(self, *, with_body: bool = True) -> str:
        site, words = self.site, self.words
        subject = quote(words["mail_subject"].format(site.title), safe="")
        body = quote(words["mail_body"].replace("\n", "\r\n"), safe="")
        link = f"mailto:{quote(site.sign_mailto, safe='@')}?subject={subject}"
        return f"{link}&body={body}" if with_body else link

    # ---- words

    def _in_letters_language(self, name: str, text: str) -> Html:
        return tag(name, text, lang=self.language, dir="auto")

    def _day(self, day: date) -> str:
        return long_date(day, self._spoken)

    def _form(self, name: str, number: int, **more: str) -> str:
        return counted(self.words[name], number, self._spoken, **more)

    def _number(self, number: int) -> str:
        return counted({"other": "{}"}, number, self._spoken)

    def _status(self, status: Status) -> str:
        return str(self.words["status"][status])

    def _sent(self) -> str:
        """When the letter was sent, and to how many."""
        site = self.site
        number = len(site.recipients)
        return self._form("sent", number, day=self._day(site.sent_on)) if site.sent_on else ""

    @cached_property
    def _labels(self) -> dict[int, tuple[str, str]]:
        """What each recipient is called, and what stands below it; no two are called the same."""
        called = {one.number: self._called(one) for one in self.site.recipients}
        often = Counter(called.values())
        return {
            number: (name, ", ".join(filter(None, [below, self._numbered(number)])))
            if often[name, below] > 1
            else (name, below)
            for number, (name, below) in called.items()
        }

    def _called(self, one: ShownRecipient) -> tuple[str, str]:
        parts = [part for part in (one.name, one.office, one.organisation) if part]
        parts = parts or [self._numbered(one.number)]
        return parts[0], ", ".join(parts[1:])

    def _numbered(self, number: int) -> str:
        return str(self.words["recipient"].format(number))

    def _who(self, one: ShownRecipient) -> list[Html]:
        name, below = self._labels[one.number]
        found = [tag("bdi", name, lang=one.language)]
        if not below:
            return found
        # The blank is for what shows the page without its style.
        return [*found, Html(" "), tag("small", tag("bdi", below, lang=one.language))]

    # ---- the other files

    def picture(self) -> bytes | None:
        """The picture for links to the site; None: a character of it is in no font."""
        site = self.site
        content = {
            "title": site.title,
            "headline": site.letters[self.language].subject,
            "figures": [[self._number(number), name] for number, name, _ in self._figures()],
            "rehearsal": self.words["rehearsal"] if site.is_rehearsal else "",
            "language": self.language.partition("-")[0],
            "direction": locale_of(self.language).text_direction,
        }
        return draw(packaged("report/site_picture.typ"), content)

    def feed(self) -> str:
        """What changed, newest first, as an Atom feed (RFC 4287)."""
        site = self.site
        entries = sorted(self._entries(), key=lambda one: (one[1], one[0]), reverse=True)[:_ENTRIES]
        title = f"{site.title}: {site.letters[self.language].subject}"
        title = f"{self.words['rehearsal']} {title}" if site.is_rehearsal else title
        newest = max((at for _, at, *_ in entries), default=site.frozen.frozen_at)
        links = [void("link", rel="alternate", type="text/html", href="index.html")]
        if site.url:
            links.append(void("link", rel="self", href=f"{site.url}{self.folder}feed.xml"))
        inner = [
            tag("id", self._urn("feed")),
            tag("title", title),
            tag("updated", _instant(newest)),
            tag("author", tag("name", site.sender or site.title)),
            *(Html(f"{str(one)[:-1]}/>") for one in links),
            *(self._entry(*one) for one in entries),
        ]
        attributes = {"xmlns": "http://www.w3.org/2005/Atom", "xml:lang": self._spoken}
        if site.url:
            attributes["xml:base"] = f"{site.url}{self.folder}"
        whole = tag("feed", *inner, **attributes)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{whole}\n'.translate(SHOWN)

    def _entry(self, key: str, at: datetime, title: str, words: str, page: str) -> Html:
        link = void("link", rel="alternate", type="text/html", href=page)
        parts = [tag("id", self._urn(key)), tag("title", title), tag("updated", _instant(at))]
        parts += [Html(f"{str(link)[:-1]}/>")]
        parts += [tag("content", words, type="text")] if words else []
        return tag("entry", *parts)

    def _urn(self, key: str) -> str:
        name = f"{self.site.campaign_id}/{self.language}/{key}"
        kind = "rehearsal" if self.site.is_rehearsal else "site"
        return uuid.uuid5(uuid.NAMESPACE_URL, f"petition:{kind}/{name}").urn

    def _entries(self) -> Iterator[tuple[str, datetime, str, str, str]]:
        """What changed: a key, when, a title, words, and the page that has it."""
        site, words = self.site, self.words
        if site.sent_on:
            yield "sent", _noon(site.sent_on), words["entry_sent"], self._sent(), "letter.html"
        for answer in site.answers:
            name, below = self._labels[answer.who.number]
            who = f"{name} ({below})" if below else name
            title = f"{who}: {self._status(answer.status)}"
            yield f"answer/{answer.id}", answer.at, title, answer.words, "answers.html"
        for day, number in site.signed.by_day.items():
            if day <= site.made_on:
                title = self._form("entry_signed", number)
                yield f"signed/{day}", _noon(day), title, "", "signatories.html"


def signatory(one: Mapping[str, str], language: str) -> Html:
    """A name in a list, and what is known beside it."""
    country = country_name(one["country"], language)
    rest = [one["role"], one["organisation"], one["place"], country]
    parts = [tag("bdi", text) for text in rest if text]
    name = tag("strong", tag("bdi", one["name"]))
    return tag("li", Html(comma(language).join([name, *parts])))


def _noon(day: date) -> datetime:
    """A moment of a day that is that day in most of the world."""
    return datetime.combine(day, time(12), UTC)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _square(content: str) -> Html:
    """A QR code as SVG, dark on white by day and by night."""
    import segno  # noqa: PLC0415 (an extra)

    made = segno.make(content, error="m", micro=False)
    return Html(
        made.svg_inline(dark="#000", light="#fff", omitsize=True, svgclass=None, lineclass=None)
    )
