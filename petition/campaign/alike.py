"""Who could be one person: people of one name, and recipients who sign the letter themselves.

They are pointed out and never dropped: two people may well have one name.
"""

import unicodedata
from collections.abc import Iterable

from petition.address import folded
from petition.campaign.names import quoted
from petition.campaign.people import FirstLines, Person
from petition.campaign.signatories import Signatory
from petition.errors import Level, Problem

_TOLD = 20  # warnings of each kind that are written out; the others are counted


class Alikes:
    """Looks at one person after the other for those who were there before.

    Args:
        signatories: Who signs.
        signatories_file: The file that names them.
    """

    def __init__(self, signatories: Iterable[Signatory], signatories_file: str) -> None:
        self._signatories_file = signatories_file
        self._signed: dict[str, Signatory] = {}
        for one in signatories:
            self._signed.setdefault(_folded(one.name), one)
            if one.email:
                self._signed.setdefault(folded(one.email), one)
        self._names = FirstLines()
        self._namesakes = _Told("more people have a name that stands in the list before")
        self._signing = _Told("more recipients sign the letter as well")

    def look_at(self, person: Person) -> None:
        """Look at the next person of the list."""
        name = _folded(person.mailbox.display_name)
        key = folded(person.mailbox.addr_spec)
        signatory = self._signed.get(key) or self._signed.get(name)
        if signatory and (name or signatory.email):
            self._signing.tell(person, *self._signs(person, signatory))
        if " " not in name:  # a first name alone says nothing
            return
        line = self._names.first(name, person.line)
        if line != person.line:
            what = f"{quoted(person.mailbox.display_name)} stands in line {line} as well"
            what += ", with another address"
            mend = "Delete one of the rows if both are one person"
            self._namesakes.tell(person, what, mend)

    def problems(self) -> list[Problem]:
        """What was found, as warnings."""
        return [*self._namesakes.problems(), *self._signing.problems()]

    def _signs(self, person: Person, signatory: Signatory) -> tuple[str, str]:
        place = f"{self._signatories_file}:{signatory.line}"
        if folded(signatory.email) == folded(person.mailbox.addr_spec):
            what = f"{quoted(person.mailbox.addr_spec)} signs the letter as well ({place})"
        else:
            what = f"{quoted(person.mailbox.display_name)} signs the letter as well ({place})"
        return what, "Look whether the letter should go to somebody who signs it"


class _Told:
    """Warnings of one kind, of which no more than some are written out."""

    def __init__(self, rest: str) -> None:
        self._rest = rest
        self._problems: list[Problem] = []
        self._more = 0
        self._file = ""

    def tell(self, person: Person, what: str, mend: str) -> None:
        if len(self._problems) >= _TOLD:
            self._more += 1
            return
        self._file = person.file
        self._problems.append(Problem(person.file, person.line, what, mend, Level.WARNING))

    def problems(self) -> list[Problem]:
        if not self._more:
            return self._problems
        what = f"{self._more:,} {self._rest}"
        mend = "Mend the ones that are named first"
        return [*self._problems, Problem(self._file, None, what, mend, Level.WARNING)]


def _folded(name: str) -> str:
    """A name by which two spellings of it are the same."""
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return " ".join(plain.casefold().split())
