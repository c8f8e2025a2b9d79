"""A loaded campaign folder, with all the problems of its files."""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from petition.campaign.demands import Demand, compare_demands, read_demands
from petition.campaign.letter import Letter, read_letter
from petition.campaign.names import language_tag, nearest, quoted
from petition.campaign.people import ListJudge, PeopleList, open_people
from petition.campaign.settings import (
    LoadedSettings,
    Settings,
    TomlLines,
    load_settings,
    stand_in_settings,
)
from petition.campaign.signatories import Signatory, SignedOnce, read_signatories
from petition.campaign.text_file import unreadable
from petition.errors import CampaignError, Problem

SETTINGS_FILE = "petition.toml"
LETTERS_FOLDER = "letters"

_FILE_NAME = re.compile(r"(?P<name>\w[\w-]*)(?:\.(?P<language>.+))?\.md")
_DEMANDS = "demands"
_DEFAULT_SIGNATORIES = "signatories.csv"


@dataclass(slots=True)
class Campaign:
    """A campaign as it stands in its folder.

    Where one of the problems is an error, settings and texts are there only to look for further
    problems: nothing may be sent with them.

    Args:
        root: The folder.
        settings: petition.toml.
        letters: The letters by name.
        demands: The demands by language, in the order of languages.
        signatories: Everybody who signs, those who are not to be named too.
        problems: What is wrong in any file but the lists of people, which are read as they are
            needed.
        lines: Where the tables and keys of petition.toml stand.
        stands_in: Whether settings stand in for wrong ones, so that nothing follows from them.
    """

    root: Path
    settings: Settings
    letters: dict[str, Letter] = field(default_factory=dict)
    demands: dict[str, tuple[Demand, ...]] = field(default_factory=dict)
    signatories: tuple[Signatory, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    lines: TomlLines = field(default_factory=TomlLines)
    stands_in: bool = False

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the campaign, the default one first."""
        return self.settings.campaign.languages

    def people(self, list_name: str, problems: list[Problem]) -> PeopleList | None:
        """A list of [people], ready to be read.

        Args:
            list_name: Its name.
            problems: Takes what is wrong with it.
        """
        file = self.settings.people.get(list_name)
        if file is None:
            problems.append(Problem(SETTINGS_FILE, None, *_unknown_list(self.settings, list_name)))
            return None
        return open_people(self.root, file, problems)


def load_campaign(root: Path, loaded: LoadedSettings | None = None) -> Campaign:
    """Reads every file of a campaign folder save the lists of people.

    Args:
        root: The folder.
        loaded: What `read_settings` has made of its petition.toml; None: read it now.

    Raises:
        CampaignError: petition.toml is not there or is no TOML; with what else was found.
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
    """petition.toml of a campaign folder.

    Args:
        root: The folder.

    Raises:
        CampaignError: There is none.
    """
    _refuse_absent(root)
    return load_settings(root / SETTINGS_FILE)


def _refuse_absent(root: Path) -> None:
    try:
        if (root / SETTINGS_FILE).exists():
            return
        what = f"there is none in {root.resolve()}"
        fault = what, "Begin a campaign with petition init, or name its folder with -C"
    except (OSError, ValueError) as why:
        fault = unreadable(why)
    raise CampaignError([Problem(SETTINGS_FILE, None, *fault)])


def _read_letters(campaign: Campaign) -> None:
    """Reads letters and demands into the campaign."""
    problems = campaign.problems
    files = _letter_files(campaign.root, campaign.languages, problems)
    demands = files.pop(_DEMANDS, {})
    if not files and not problems:
        hint = "Write one as letters/open-letter.md"
        problems.append(Problem(LETTERS_FOLDER, None, "there is no letter", hint))
    for name, by_language in files.items():
        letter = campaign.letters[name] = read_letter(campaign.root, name, by_language, problems)
        if letter.texts:
            _judge_list_of(campaign, letter)
            _judge_event_of(campaign, letter)
    _read_demands(campaign, demands)


def _read_demands(campaign: Campaign, files: dict[str, str]) -> None:
    problems: list[Problem] = []
    for language, file in files.items():
        is_default = language == campaign.languages[0]
        campaign.demands[language] = read_demands(
            campaign.root, file, problems, is_default=is_default
        )
    if not problems:  # a demand without an id would be missed a second time
        compare_demands(campaign.demands, files, problems)
    for language, demands in campaign.demands.items():
        if problems and not demands:  # so that no letter is blamed for naming none
            campaign.demands[language] = (Demand(1, "stand-in", "stand-in", "", 1),)
    campaign.problems += problems


def _judge_list_of(campaign: Campaign, letter: Letter) -> None:
    if letter.front.to not in campaign.settings.people:
        name, text = letter.front.to, letter.default_text
        what, hint = _unknown_list(campaign.settings, name)
        campaign.problems.append(Problem(text.file, text.line_of("to"), what, hint, mark=name))


def _judge_event_of(campaign: Campaign, letter: Letter) -> None:
    name, events = letter.front.event, campaign.settings.events
    if name is None or name in events:
        return
    near = nearest(name, events)
    hint = f'Did you mean "{near}"' if near else f"Write a table [events.{name}] there"
    text = letter.default_text
    what = f"there is no event {quoted(name)} in {SETTINGS_FILE}"
    campaign.problems.append(Problem(text.file, text.line_of("event"), what, hint, mark=name))


def _unknown_list(settings: Settings, name: str) -> tuple[str, str]:
    near = nearest(name, settings.people)
    hint = f'Did you mean "{near}"' if near else f'Name its file there: {name} = "{name}.csv"'
    return f"there is no list {quoted(name)} in [people] of {SETTINGS_FILE}", hint


def _read_signatories(campaign: Campaign) -> None:
    file = campaign.settings.people["signatories"]
    if file == _DEFAULT_SIGNATORIES and not (campaign.root / file).exists():
        return  # a letter need not be signed by others
    once = SignedOnce(file, campaign.problems)
    campaign.signatories = once.of(read_signatories(campaign.root, file, campaign.problems))


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
        found = _FILE_NAME.fullmatch(unicodedata.normalize("NFC", entry))
        if found is None:
            shown = file.encode("utf-8", "replace").decode()
            what = "the name of a letter has letters, digits, - and _ alone"
            problems.append(Problem(shown, None, what, "Rename the file"))
            continue
        name, suffix = found["name"], found["language"]
        language = language_tag(suffix) if suffix else languages[0]
        if language not in languages:
            fault = _unknown_language(suffix, languages)
            problems.append(Problem(file, None, *fault))
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
        fault = unreadable(why)
        problems.append(Problem(LETTERS_FOLDER, None, *fault))
        return []
    return [name for name in names if name.endswith(".md") and not name.startswith(".")]


def _unknown_language(suffix: str, languages: tuple[str, ...]) -> tuple[str, str]:
    what = f"{quoted(suffix)} is not a language of the campaign"
    known = ", ".join(languages)
    return what, f"Add it to languages in {SETTINGS_FILE} ({known}), or rename the file"


def _languages_seen(root: Path) -> list[str]:
    """The languages that the letters' files are called by, where petition.toml does not tell."""
    found = map(_FILE_NAME.fullmatch, _markdown_files(root, []))
    tags = (language_tag(name["language"] or "") for name in found if name)
    return sorted({tag for tag in tags if tag} - {"en"})
