"""petition preview: a letter as somebody would get it."""

import os
import re
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from petition import system
from petition.campaign.folder import SETTINGS_FILE, Campaign
from petition.campaign.names import LETTERS_FOLDER
from petition.campaign.people import PeopleList, Person
from petition.checks.campaign import Examined, concerning, examine, in_order
from petition.checks.letter import zone_of
from petition.cli import output
from petition.cli.problems import show_problems
from petition.cli.workspace import WHO, Workspace
from petition.credentials import drop_secrets
from petition.errors import CampaignError, MergeRefused, PetitionError, Problem, UsageError, listed
from petition.identity import Signer
from petition.merge.fill import MARK_BEGIN, MARK_END
from petition.merge.message import Merger, Shown
from petition.outbox.log import Log
from petition.planning.follow_up import following_of
from petition.planning.plan import last_in, suppose_as_frozen, text_to_send
from petition.planning.prepare import campaign_id_of
from petition.planning.selection import check_list
from petition.planning.signatories import prune_signatories
from petition.sending.person import person_of

if TYPE_CHECKING:
    from petition.report.book import BookCopy

_TOGETHER = 200  # milliseconds in which several changes count as one
_WAIT = 200  # milliseconds after which the folders are looked at again

_FILE_NAME_LENGTH = 40
_CHECK = "petition check shows what is wrong with the list"


class As(StrEnum):
    """The form in which a letter is shown."""

    TEXT = "text"
    HTML = "html"
    HEADERS = "headers"
    SOURCE = "source"


def preview(
    context: typer.Context,
    letter: Annotated[
        str | None, typer.Argument(metavar="LETTER", help="The letter's name or file.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="WHO", help=f"WHO: {WHO} (default: row 1)."),
    ] = None,
    form: Annotated[
        As | None, typer.Option("--as", metavar="FORM", help="As text, html, headers or source.")
    ] = None,
    diff: Annotated[
        tuple[str, str] | None,
        typer.Option("--diff", metavar="WHO WHO", help="Show how two copies differ."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open it in a web browser.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="DIR",
            help="Save each copy as a file that mail programs open.",
            show_default=False,
        ),
    ] = None,
    pdf: Annotated[
        Path | None,
        typer.Option("--pdf", metavar="FILE", help="Save it as a PDF.", show_default=False),
    ] = None,
    book: Annotated[
        Path | None,
        typer.Option(
            "--book",
            metavar="FILE",
            help="Write all copies to one page, the unusual ones first.",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again when a file changes.")
    ] = False,
) -> None:
    """Show a letter as somebody would get it, byte for byte."""
    forms: dict[str, object] = {"--as": form, "--diff": diff, "--browser": browser}
    forms |= {"--save": save, "--pdf": pdf, "--book": book}
    _require_one_form([name for name, value in forms.items() if value], to, watch=watch)

    def show(read: set[str]) -> None:
        with Workspace.open(context) as place:
            try:
                copies = open_copies(place, letter, read)
            finally:
                read |= {SETTINGS_FILE, *_lists(place)}
            if book:
                write_book(copies, to, book, place)
                return
            show_problems(in_order(copies.problems), on_stderr=True)
            copies.problems.clear()
            if diff:
                show_difference(copies, *diff)
            elif save:
                save_copies(copies, to, save)
            elif pdf:
                typeset(copies, to, pdf)
            elif browser:
                open_in_browser(copies, to)
            else:
                show_copy(copies, to, form or As.TEXT)
                if form in {None, As.TEXT}:
                    place.say_rehearsal()

    if watch:
        show_again(Path.cwd(), show)
    else:
        show(set())


def _require_one_form(given: list[str], to: str | None, *, watch: bool) -> None:
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} cannot be combined", "Choose one of them")
    if given == ["--diff"] and to is not None:
        raise UsageError("--diff and --to cannot be combined", "Name two people after --diff")
    if watch and given and given[0] not in {"--as", "--diff"}:
        raise UsageError(f"{given[0]} and --watch cannot be combined", "Choose one of them")


def _lists(place: Workspace) -> set[str]:
    """The files of the lists of people; none if the campaign could not be loaded."""
    known: Campaign | None = vars(place).get("campaign")
    files = known.settings.people.values() if known else ()
    return {name.partition("#")[0] for name in files}


@dataclass
class Copies:
    """A letter's copies, made as they are asked for."""

    merger: Merger
    examined: Examined
    people: PeopleList
    revision: int
    date: datetime  # of copies that were never attempted
    log: Log

    @property
    def letter(self) -> str:
        """The letter's name."""
        return self.examined.letter.name

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the letter, and with the rows that were read on the way."""
        return self.examined.problems

    def rows(self) -> Iterator[Person]:
        """The people on the list as they are read."""
        for person in self.examined.rows():
            self.merger.count_as_yes_no(self.examined.bare.yes_no)
            yield person

    def person(self, who: str | None) -> Person:
        """Somebody on the list; the list is read no further than that."""
        choice = self.people.choice([] if who is None else [who])
        for person in self.rows():
            if choice.matches(person) and not (who is None and person.excluded):
                if who is None and any(map(self._is_of_row_before(person), self.problems)):
                    output.say_error(f"Rows before this one have errors. {_CHECK}.")
                return person
        if who is None:
            raise UsageError(f"{self.people.file} has no usable row", _CHECK)
        near = choice.nearest(who)
        hint = f"Did you mean {near}" if near else _CHECK
        raise UsageError(f'nobody in {self.people.file} is "{who}"', hint)

    def _is_of_row_before(self, person: Person) -> Callable[[Problem], bool]:
        file = self.people.file
        return lambda one: one.is_error and one.file == file and (one.line or 0) < person.line

    def chosen(self, who: str | None) -> Iterator[Person]:
        """Everybody who is meant, save those whom the list excludes."""
        choice = self.people.choice([] if who is None else [who])
        people = filter(choice.matches, self.rows())
        return (person for person in people if not person.excluded)

    def shown(self, person: Person) -> Shown:
        """A person's copy for reading."""
        return self.merger.show(*self._made_of(person))

    def data(self, person: Person) -> bytes:
        """A person's copy as it would be sent."""
        return self.merger.merge(*self._made_of(person), full=True).data

    def html(self, person: Person) -> str:
        """The HTML of a person's copy."""
        return self.merger.html(*self._made_of(person)[:2])

    def typeset(self, person: Person) -> bytes:
        """A person's copy as a PDF."""
        return self.merger.typeset(self._made_of(person)[0])

    def in_book(self, person: Person) -> "BookCopy":
        """A person's copy, for the book of copies."""
        from petition.report.book import BookCopy  # noqa: PLC0415 (most previews show one copy)

        language, is_fallback = self.merger.language_of(person)
        return BookCopy(person, self.shown(person), self.html(person), language, is_fallback)

    def _made_of(self, person: Person) -> tuple[Person, int, datetime]:
        """P7: Date is set at the first attempt and then kept, and so are the merge fields."""
        date = self.date
        for copy in self.log.copies_to(self.letter, person.mailbox.addr_spec):
            if copy.revision == self.revision and copy.twin == 0:
                date = copy.letter_date or date
                if copy.attempts:
                    return person_of(copy), self.revision, date
                person = person._replace(queued_as=copy.spelling)
        return person, self.revision, date


def open_copies(place: Workspace, letter: str | None, read: set[str]) -> Copies:
    """The copies of a letter, with the text and the identities that `send` would use now."""
    server, campaign, log = place.server, place.campaign, place.log_or_stand_in
    prune_signatories(campaign, log)
    name = letter or _first_letter(place)
    # The log's key is in every Message-ID: without the log this would be another letter.
    campaign_id = campaign_id_of(campaign, log)
    examined = examine(
        campaign,
        name,
        server=server,
        campaign_id=campaign_id,
        frozen_last=last_in(log),
    )
    read |= examined.files.asked
    examined.files.asked = read
    is_broken = any(one.is_error for one in concerning(campaign, examined.letter.name))
    if is_broken or examined.frozen is None or examined.people is None:
        raise CampaignError(in_order(examined.problems))
    suppose_as_frozen(examined, log)
    frozen, revision = text_to_send(campaign, examined.frozen, log)
    merger = Merger(frozen, Signer(log.key), examined.files)
    date = datetime.now(zone_of(campaign)).replace(microsecond=0)
    following = following_of(examined, log)
    if following and not following.has_begun:
        follows = examined.letter.front.follows
        what = "has not been sent yet: what this letter says about it is made up."
        output.say_error(f"{follows} {what}")

    return Copies(merger, examined, examined.people, revision, date, log)


def _first_letter(place: Workspace) -> str:
    names = sorted(place.campaign.letters)
    if not names:
        raise CampaignError(in_order(place.campaign.problems))
    if len(names) > 1:
        others = ", ".join(names[1:])
        output.say_error(f"Showing {names[0]}; other letters: {others}.")
    return names[0]


def show_copy(copies: Copies, who: str | None, form: As) -> None:
    """Show a person's copy in one form."""
    person = copies.person(who)
    if person.excluded:
        output.say_error(f'{person.mailbox} is "{person.excluded}" and gets no letter.')
    _tell_language(copies, person)
    if form is As.HTML:
        output.source(copies.html(person).encode())
    elif form is As.SOURCE:
        output.source(copies.data(person))
    elif form is As.HEADERS:
        output.source(copies.data(person).partition(b"\r\n\r\n")[0] + b"\r\n")
    else:
        shown = copies.shown(person)
        output.letter(shown.main_headers, shown.text, shown.attached)


def _tell_language(copies: Copies, person: Person) -> None:
    language, is_fallback = copies.merger.language_of(person)
    if is_fallback:
        output.say_error(
            f'There is no letter in "{person.language}": {person.mailbox} gets it in "{language}".'
        )


def show_difference(copies: Copies, one: str, other: str) -> None:
    """Show what differs between the copies of two people."""
    persons = [copies.person(who) for who in (one, other)]
    before, after = (_lines(copies.shown(person)) for person in persons)
    first, second = (str(person.mailbox) for person in persons)
    lines = list(unified_diff(before, after, first, second, lineterm=""))
    if lines:
        output.difference(lines)
    else:
        output.say("The two copies are the same.")


def _lines(shown: Shown) -> list[str]:
    text = re.sub(f"[{MARK_BEGIN}{MARK_END}]", "", shown.text)
    return [*(f"{name}: {value}" for name, value in shown.headers), "", *text.split("\n")]


def open_in_browser(copies: Copies, who: str | None) -> None:
    """Show the HTML of a person's copy in a web browser."""
    person = copies.person(who)
    _tell_language(copies, person)
    handle, file = tempfile.mkstemp(prefix="petition-", suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(copies.html(person))
    drop_secrets()  # the browser gets our environment
    if webbrowser.open(Path(file).as_uri()):
        output.say(f"Opened in the browser: {file}")
    else:
        output.say(f"No browser was found. Open it yourself: {file}")


def typeset(copies: Copies, who: str | None, file: Path) -> None:
    """Save a person's copy as a PDF."""
    if _exists(file):
        raise UsageError(f"{file} would be overwritten", "Name another file, or remove it")
    person = copies.person(who)
    _tell_language(copies, person)
    _write(file, copies.typeset(person))
    output.say(f"Saved as {file}, as {person.mailbox} would get it. Nothing was sent.")


def save_copies(copies: Copies, who: str | None, folder: Path) -> None:
    """Save one file for each chosen person."""
    copies.person(who)
    there = [name for person in copies.chosen(who) if _exists(folder / (name := _name(person)))]
    if there:
        raise UsageError(
            f"{listed(there[:3], len(there))} would be overwritten in {folder}",
            "Name another folder, or remove them; nothing was saved",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    copies.problems.clear()
    saved = 0
    for person in copies.chosen(who):
        try:
            _write(folder / _name(person), copies.data(person))
            saved += 1
        except MergeRefused as refusal:
            copies.problems.append(refusal.problem)
    output.say(f"{output.count(saved, 'letter')} saved in {folder}. Nothing was sent.")
    if copies.problems:
        raise CampaignError(in_order(copies.problems))


def write_book(copies: Copies, who: str | None, file: Path, place: Workspace) -> None:
    """Write the copies of those who are meant to one page, with what `check` says of each."""
    from petition.report import book  # noqa: PLC0415 (most previews show one copy)

    copies.person(who)
    merger, choice = copies.merger, copies.people.choice([] if who is None else [who])
    sample = book.BookSample()

    def look_at(people: list[Person]) -> None:
        for person in people:
            if choice.matches(person) and not person.excluded:
                sample.add(person, is_fallback=merger.language_of(person)[1])

    check_list(copies.examined, merger, copies.revision, look_at)
    made: dict[int, BookCopy] = {}
    for person in sample.people():
        with suppress(MergeRefused):  # one of the problems says why
            made[person.line] = copies.in_book(person)
    others: list[Problem] = []
    for problem in in_order(copies.problems):
        is_of_row = problem.file == copies.people.file
        lines = (problem.line or 0,) if is_of_row else problem.rows
        concerned = [made[line] for line in lines if line in made]
        for copy in concerned:
            copy.problems.append(problem)
        if not (is_of_row and concerned):
            others.append(problem)
    title = place.campaign.settings.campaign.title
    whole = book.Book(
        title,
        copies.letter,
        sample.seen,
        list(made.values()),
        others,
        place.is_rehearsal,
        sample.how(),
    )
    book.write(whole, file)
    number = output.count(len(made), "copy", "copies")
    order = ", the unusual ones first" if len(made) > 1 else ""
    output.say(f"Wrote {file}: {number}{order}. Keep it private; nothing was sent.")
    if copies.examined.has_errors:
        raise CampaignError([one for one in in_order(copies.problems) if one.is_error])


def _name(person: Person) -> str:
    """A file name that no cell can lead out of the folder."""
    who = re.sub(r"[^\w-]+", "-", person.id or person.mailbox.local_part).strip("-")
    return f"{person.number:03}-{who[:_FILE_NAME_LENGTH] or 'copy'}.eml"


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _write(path: Path, data: bytes) -> None:
    handle = system.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)


class Sources:
    """The files that a letter was made of when it was last shown."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._letters = root / LETTERS_FOLDER
        self.names: set[str] = set()  # relative to the folder

    @property
    def folders(self) -> set[Path]:
        """The folders that they are in, as far as these exist."""
        places = {self._root, self._letters, *((self._root / name).parent for name in self.names)}
        return {place for place in places if place.is_dir()}

    def __call__(self, change: object, path: str) -> bool:
        """Whether a change of this file concerns a letter."""
        del change
        file = Path(path)
        is_letter = file.parent == self._letters and file.suffix == ".md"
        return is_letter or any(file == self._root / name for name in self.names)


def show_again(root: Path, show: Callable[[set[str]], None]) -> None:
    """Show something now and after every change, until Ctrl-C."""
    sources = Sources(root.resolve())
    try:
        while True:
            _watch(sources, show)
    except KeyboardInterrupt:
        output.say_error("")


def _watch(sources: Sources, show: Callable[[set[str]], None]) -> None:
    """Show it now and after every change, until there are other folders to watch."""
    from watchfiles import watch  # noqa: PLC0415 (most previews are shown once)

    folders = sources.folders
    changes = watch(
        *folders,
        watch_filter=sources,
        debounce=_TOGETHER,
        rust_timeout=_WAIT,
        yield_on_timeout=True,
        raise_interrupt=True,
        recursive=False,  # a folder of programs or of sent letters may lie beside the letters
    )
    next(changes)  # started before the first look, so that no change is missed
    _shown(show, sources)
    while sources.folders == folders:
        if next(changes):
            output.clear()
            _shown(show, sources)
    output.clear()


def _shown(show: Callable[[set[str]], None], sources: Sources) -> None:
    try:
        show(sources.names)
    except CampaignError as error:
        show_problems(error.problems)
    except PetitionError as error:
        output.say(f"petition: {error}")
    output.say("Watching the campaign's files. Ctrl-C ends it.")
