"""A loaded campaign folder, with all the problems of its files."""

import re
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from petition.campaign.letter import Demand, Letter, compare_demands, read_demands, read_letter
from petition.campaign.names import (
    DEMANDS,
    LETTER_FILE,
    LETTERS_FOLDER,
    language_tag,
    nearest_hint,
    quoted,
)
from petition.campaign.people import ListJudge, PeopleList, open_people
from petition.campaign.settings import LoadedSettings, Settings, load_settings, stand_in_settings
from petition.campaign.signatories import Signatory, count_once, read_signatories
from petition.campaign.text_file import find_file, unreadable
from petition.campaign.toml import TomlLines
from petition.errors import CampaignError, Level, Problem, UsageError

SETTINGS_FILE = "petition.toml"

# What an editor or a desktop makes of a letter's name: `open-letter.md.txt`, `open-letter.MD`.
_MISNAMED = re.compile(r"\.(?:md|markdown)(?:\.\w+)?$", re.IGNORECASE)
_DEFAULT_SIGNATORIES = "signatories.csv"


@dataclass(slots=True)
class Campaign:
    """A campaign as its folder has it.

    If a problem is an error, settings and texts only serve to find further problems, and nothing
    may be sent with them.
    """

    root: Path
    settings: Settings
    letters: dict[str, Letter] = field(default_factory=dict)  # by name
    demands: dict[str, tuple[Demand, ...]] = field(default_factory=dict)  # by language, in order
    signatory_rows: tuple[Signatory, ...] = ()  # as the file has them, perhaps one person twice
    signatories: tuple[Signatory, ...] = ()  # each once, including those who are not to be named
    left_out: tuple[Signatory, ...] = ()  # rows of those who do not sign, or show their name, now
    problems: list[Problem] = field(default_factory=list)  # of all files except the lists
    lines: TomlLines = field(default_factory=TomlLines)  # of petition.toml
    stands_in: bool = False  # settings stand in for wrong ones: nothing follows from them

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the campaign, the default one first."""
        return self.settings.campaign.languages

    def demands_file(self, language: str) -> str:
        """The file of the demands in a language."""
        suffix = "" if language == self.languages[0] else f".{language}"
        return f"{LETTERS_FOLDER}/{DEMANDS}{suffix}.md"

    def find_letter(self, name: str) -> Letter:
        """A letter by its name, or by one of its files; UsageError if there is none."""
        stem = name_of_letter(name)
        if stem in self.letters:
            return self.letters[stem]
        known = f"Letters here: {', '.join(sorted(self.letters)) or 'none'}"
        hint = nearest_hint(stem, self.letters, known, "{}")
        file = "" if "/" in stem else f" ({LETTERS_FOLDER}/{stem}.md)"
        raise UsageError(f'there is no letter "{name}"{file}', hint)

    def people(self, list_name: str, problems: list[Problem]) -> PeopleList | None:
        """A list in [people], ready to be read; None, and a problem, if it cannot be."""
        file = self.settings.people.get(list_name)
        if file is None:
            problems.append(Problem(SETTINGS_FILE, None, *_unknown_list(self.settings, list_name)))
            return None
        reading = self.settings.reading._replace(key=list_name)
        return open_people(self.root, file, problems, reading)


def name_of_letter(text: str) -> str:
    """The name of a letter that is given by its name or file: `letters/open-letter.ru.md`."""
    folder, _, file = text.replace("\\", "/").rpartition("/")
    if folder.rpartition("/")[2] not in {"", LETTERS_FOLDER}:  # it is not one of this campaign
        return text
    found = LETTER_FILE.fullmatch(unicodedata.normalize("NFC", file))
    return found["name"] if found else file


def load_campaign(root: Path, loaded: LoadedSettings | None = None) -> Campaign:
    """Read every file of a campaign folder except the lists of people.

    `loaded` is the result of `read_settings`, if that was called before. CampaignError if
    petition.toml is missing or is not TOML; with what else was found.
    """
    loaded = loaded or read_settings(root)
    settings = loaded.settings or stand_in_settings(_languages_seen(root))
    campaign = Campaign(root, settings, lines=loaded.lines, stands_in=loaded.has_errors)
    campaign.problems += loaded.problems
    _read_letters(campaign)
    _read_signatories(campaign)
    if loaded.settings is None:
        _judge_lists(campaign)
        raise CampaignError(campaign.problems)
    return campaign


def read_settings(root: Path) -> LoadedSettings:
    """petition.toml of a campaign folder; CampaignError if there is none."""
    try:
        if (root / SETTINGS_FILE).exists():
            return load_settings(root / SETTINGS_FILE)
        what = f"not found in {root.resolve()}"
        fault = what, "Start a campaign with petition init, or name its folder with -C"
    except (OSError, ValueError) as why:
        fault = unreadable(why)
    raise CampaignError([Problem(SETTINGS_FILE, None, *fault)])


def _read_letters(campaign: Campaign) -> None:
    """Read letters and demands into the campaign."""
    problems = campaign.problems
    files = _letter_files(campaign.root, campaign.languages, problems)
    demands = files.pop(DEMANDS, {})
    if not files and not problems:
        hint = "Write one, such as letters/open-letter.md"
        problems.append(Problem(LETTERS_FOLDER, None, "there is no letter", hint))
    for name, by_language in files.items():
        letter = campaign.letters[name] = read_letter(campaign.root, name, by_language, problems)
        if letter.texts:
            _judge_front(campaign, letter)
    _read_demands(campaign, demands)


def _read_demands(campaign: Campaign, files: dict[str, str]) -> None:
    problems: list[Problem] = []
    for language, file in files.items():
        is_default = language == campaign.languages[0]
        campaign.demands[language] = read_demands(
            campaign.root, file, problems, is_default=is_default
        )
    if not problems:  # a demand without an id would be reported twice
        compare_demands(campaign.demands, files, problems)
    for language, demands in campaign.demands.items():
        if problems and not demands:  # so that no letter is blamed for missing demands
            campaign.demands[language] = (Demand(1, "stand-in", "stand-in", "", 1),)
    campaign.problems += problems


def _judge_front(campaign: Campaign, letter: Letter) -> None:
    """Find a list or an event that petition.toml does not have."""
    settings, text = campaign.settings, letter.default_text
    to, event = letter.front.to, letter.front.event
    if to not in settings.people:
        what, hint = _unknown_list(settings, to)
        campaign.problems.append(Problem(text.file, text.line_of("to"), what, hint, mark=to))
    if event and event not in settings.events:
        hint = nearest_hint(event, settings.events, f"Write a table [events.{event}] there")
        what = f"there is no event {quoted(event)} in {SETTINGS_FILE}"
        campaign.problems.append(Problem(text.file, text.line_of("event"), what, hint, mark=event))


def _unknown_list(settings: Settings, name: str) -> tuple[str, str]:
    hint = nearest_hint(name, settings.people, f'Name its file there: {name} = "{name}.csv"')
    return f"there is no list {quoted(name)} in [people] of {SETTINGS_FILE}", hint


def signatory_rows(
    root: Path, settings: Settings, problems: list[Problem]
) -> tuple[Signatory, ...]:
    """The rows of the file of the signatories, as it is now; STAND_IN if it cannot be read."""
    file = settings.people["signatories"]
    reading = settings.reading._replace(key="signatories")
    if file == _DEFAULT_SIGNATORIES and not (root / file).exists():
        # Others need not sign a letter; but a file much like it may be meant.
        found: list[Problem] = []
        find_file(root, file, found, reading.key)
        problems += [replace(one, level=Level.WARNING) for one in found if "[people]" in one.hint]
        return ()
    return read_signatories(root, file, problems, reading, agreed=settings.signatories.yes)


def _read_signatories(campaign: Campaign) -> None:
    campaign.signatory_rows = signatory_rows(campaign.root, campaign.settings, campaign.problems)
    file = campaign.settings.people["signatories"]
    campaign.signatories = count_once(file, campaign.signatory_rows, campaign.problems)


def _judge_lists(campaign: Campaign) -> None:
    letters = campaign.letters.values()
    for name in sorted({letter.front.to for letter in letters if letter.texts}):
        if people := campaign.people(name, []):
            judge = ListJudge(people)
            for rows in people.table.blocks():
                campaign.problems += judge(rows)[1]


def _letter_files(
    root: Path, languages: tuple[str, ...], problems: list[Problem]
) -> dict[str, dict[str, str]]:
    """The files of each letter by language, in the order of languages."""
    files: dict[str, dict[str, str]] = {}
    for entry in _markdown_files(root, problems):
        file = f"{LETTERS_FOLDER}/{entry}"
        found = LETTER_FILE.fullmatch(unicodedata.normalize("NFC", entry))
        if found is None:
            shown = file.encode("utf-8", "replace").decode()
            what = "the name of a letter may only have letters, digits, - and _"
            problems.append(Problem(shown, None, what, "Rename the file"))
            continue
        name, suffix = found["name"], found["language"]
        language = language_tag(suffix) if suffix else languages[0]
        if language not in languages:
            what = f"{quoted(suffix)} is not a language of the campaign"
            known = ", ".join(languages)
            hint = f"Add it to languages in {SETTINGS_FILE} ({known}), or rename the file"
            problems.append(Problem(file, None, what, hint))
        elif twin := files.setdefault(name, {}).get(language):
            what = f"{twin} is the same letter in the same language"
            problems.append(Problem(file, None, what, "Delete or rename one of them"))
        else:
            files[name][language] = file
    order = languages.index
    return {
        name: {language: texts[language] for language in sorted(texts, key=order)}
        for name, texts in files.items()
    }


def _markdown_files(root: Path, problems: list[Problem]) -> list[str]:
    try:
        names = sorted(entry.name for entry in (root / LETTERS_FOLDER).iterdir())
    except OSError as why:
        problems.append(Problem(LETTERS_FOLDER, None, *unreadable(why)))
        return []
    for name in names:
        right = _MISNAMED.sub(".md", name)
        if right not in names and not name.startswith("."):
            what, hint = "is not read as a letter, because of its name", f'Rename it to "{right}"'
            problems.append(Problem(f"{LETTERS_FOLDER}/{name}", None, what, hint))
    return [name for name in names if name.endswith(".md") and not name.startswith(".")]


def _languages_seen(root: Path) -> list[str]:
    """The languages in the names of the letters, if petition.toml cannot be read."""
    found = map(LETTER_FILE.fullmatch, _markdown_files(root, []))
    tags = (language_tag(name["language"] or "") for name in found if name)
    return sorted({tag for tag in tags if tag} - {"en"})
