"""Whoever withdraws is named in no copy that is merged afterwards."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from petition.campaign.signatories import Signatory
from petition.identity import Signer
from petition.merge import frozen_signatures
from petition.merge.document import Frozen
from petition.merge.fill import MARK_BEGIN, MARK_END
from petition.merge.message import Merger
from petition.outbox import erasure, signatures
from petition.outbox.enqueue import ListedRow, Listing
from petition.outbox.log import Log
from petition.outbox.models import FrozenLetter
from petition.outbox.signatures import Review, SignatureEntry, SignatureRecord, Wording
from petition.outbox.states import Mode, State
from tests.unit.merge.letters import NOW, freeze_texts, person_of, signatory, text_of

WORDS = Wording("en", "I sign this letter.")
HAZEL = SignatureEntry("Hazel Thorn", role="teacher", place="London", publish=True)
NO_FILE = list[Signatory]  # it reads nothing
BODY = "{{ signatories | length }} signed.\n\n{{ signatories }}"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log(f"sqlite:///{tmp_path}/petition.db") as log:
        yield log


def queue(log: Log, *names: str, people: tuple[str, ...] = ("a", "b")) -> Frozen:
    """A letter that these signed is queued for some people."""
    frozen = freeze_texts(text_of(BODY), signatories=[signatory(one) for one in names])
    kept = FrozenLetter(
        "open-letter", 1, frozen.hash, frozen.content_hash, frozen.to_json(), NOW, Mode.CONTINUE
    )
    listing = Listing(log, "open-letter")
    with listing.staging() as add:
        add(
            [
                ListedRow(f"{one}@x.example", one, "en", one, "recipients.csv", line, {}, True)
                for line, one in enumerate(people, 2)
            ]
        )
    listing.carry_out(listing.compare(1, Mode.CONTINUE, None), "four-demands", kept)
    return frozen


def sign(log: Log, entry: SignatureEntry = HAZEL, letter: str = "open-letter") -> SignatureRecord:
    with log.writing():
        one, _ = signatures.submit(log, letter, "hazel@x.example", entry, WORDS, "form")
    signatures.confirm(log, one, "link")
    with log.writing():
        signatures.review(log, one.id, Review.APPROVED, "a person")
    return signatures.one(log, one.id)


def text_now(log: Log) -> str:
    newest = log.newest("open-letter")
    assert newest is not None
    frozen = Frozen.from_json(newest.document)
    assert (newest.hash, newest.content_hash) == (frozen.hash, frozen.content_hash)
    text = Merger(frozen, Signer(log.key)).show(person_of(), 1, NOW).text
    return text.replace(MARK_BEGIN, "").replace(MARK_END, "")


def test_the_name_of_who_withdraws_comes_out_of_the_frozen_letter(log: Log):
    before = queue(log, "HAZEL  THORN", "Ann Lee")
    one = sign(log)
    assert "2 signed" in text_now(log)
    assert frozen_signatures.withdraw(log, one, "link", NO_FILE) == []  # it has gone nowhere yet
    text = text_now(log)
    assert "1 signed" in text
    assert "THORN" not in text
    assert "Ann Lee" in text
    [note] = erasure.rehashed(log)
    assert (note.before, note.why) == (before.hash, "withdrew")
    assert frozen_signatures.withdraw(log, one, "link", NO_FILE) is None


def test_it_is_told_with_which_letters_the_name_has_gone(log: Log, tmp_path: Path):
    queue(log, "Hazel Thorn", "Ann Lee")
    one = sign(log)
    assert frozen_signatures.gone_with(log, one) == []
    first, _ = log.copies("open-letter")
    with sqlite3.connect(tmp_path / "petition.db") as connection:
        connection.execute(
            "UPDATE copy SET state = 'sent', letter_date = ? WHERE id = ?",
            ("2026-03-01T12:00:00.000000Z", first.id),
        )
    connection.close()
    [gone] = frozen_signatures.gone_with(log, one)
    assert (gone.letter, gone.copies) == ("open-letter", 1)
    assert gone.first == gone.last
    assert gone.first is not None
    assert gone.first.date().isoformat() == "2026-03-01"
    assert frozen_signatures.withdraw(log, one, "mail", NO_FILE) == [gone]
    assert log.counts("open-letter")[State.QUEUED] == 1


def test_who_does_not_want_to_be_named_any_more_is_still_counted(log: Log):
    queue(log, "Hazel Thorn", "Ann Lee")
    one = frozen_signatures.change(
        log, sign(log), HAZEL._replace(publish=False), WORDS, "link", NO_FILE
    )
    text = text_now(log)
    assert "2 signed" in text
    assert "Hazel" not in text
    assert signatures.who_left(log).unnamed == {one.folded}
    # Whoever is not named cannot be taken out by name: it may be somebody else's.
    before = text_now(log)
    frozen_signatures.withdraw(log, one, "link", NO_FILE)
    assert text_now(log) == before


def test_a_correction_leaves_a_letter_that_was_begun_as_it_is(log: Log):
    queue(log, "Hazel Thorn", "Ann Lee")
    before = text_now(log)
    frozen_signatures.change(
        log, sign(log), HAZEL._replace(role="head teacher"), WORDS, "link", NO_FILE
    )
    assert text_now(log) == before
    assert erasure.rehashed(log) == []


def test_who_still_signs_another_letter_stays(log: Log):
    queue(log, "Hazel Thorn")
    sign(log, letter="another")
    frozen_signatures.withdraw(log, sign(log), "link", NO_FILE)
    assert "Hazel Thorn" in text_now(log)
    assert signatures.who_left(log).withdrew == {}


def test_an_organisation_is_not_a_person_of_its_name(log: Log):
    queue(log, "Hazel Thorn")
    frozen_signatures.withdraw(log, sign(log, HAZEL._replace(kind="organisation")), "link", NO_FILE)
    assert "Hazel Thorn" in text_now(log)
