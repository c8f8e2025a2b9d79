"""What was prepared is not queued if somebody who signs it has left since."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from petition.campaign.folder import load_campaign
from petition.errors import LogChanged
from petition.outbox import signatures
from petition.outbox.log import Log
from petition.outbox.manual import Forgotten
from petition.outbox.signatures import SignatureEntry, SignatureRecord
from petition.planning.plan import SendOptions
from petition.planning.prepare import Prepared, enqueue, prepare
from petition.planning.signatories import differs_by_who_left
from tests.acceptance.signing import WORDS, desk_of, log_of, sign, taking_signatures
from tests.acceptance.small import SmallCampaign
from tests.unit.merge.test_new_signatories import (
    AFTER,
    BEFORE,
    COUNT,
    NAMES,
    follow_up,
    letter_before,
)
from tests.unit.merge.test_new_signatories import signed as signed_on

ANN = "Ann Reed,individual,ann@x.example,yes\n"


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    campaign = taking_signatures(SmallCampaign.at(tmp_path))
    sign(campaign, "ann@x.example", "Ann Reed")
    return campaign


@pytest.fixture
def log(campaign: SmallCampaign) -> Iterator[Log]:
    with log_of(campaign) as log:
        yield log


def prepared(campaign: SmallCampaign, log: Log, **options: object) -> Prepared:
    asked = SendOptions(**options)  # type: ignore[arg-type]
    return prepare(load_campaign(campaign.root), "open-letter", log, None, asked)


def anns(log: Log) -> SignatureRecord:
    [one] = signatures.signatures_of(log, "ann@x.example")
    return one


def say(campaign: SmallCampaign, log: Log, **changes: object) -> None:
    entry: SignatureEntry = anns(log).entry._replace(**changes)  # type: ignore[arg-type]
    desk_of(campaign, log).change(anns(log), entry, WORDS, "link")


def test_who_has_changed_something_before_and_withdraws_meanwhile(
    campaign: SmallCampaign, log: Log
):
    say(campaign, log, updates=True)
    letter = prepared(campaign, log)
    desk_of(campaign, log).withdraw(anns(log), "link")
    with pytest.raises(LogChanged):
        enqueue(letter)
    assert log.newest("open-letter") is None
    enqueue(prepared(campaign, log))


def test_who_does_not_want_to_be_named_any_more_meanwhile(campaign: SmallCampaign, log: Log):
    letter = prepared(campaign, log)
    say(campaign, log, publish=False)
    with pytest.raises(LogChanged):
        enqueue(letter)


def test_who_is_forgotten_meanwhile(campaign: SmallCampaign, log: Log):
    letter = prepared(campaign, log)
    with log.writing():
        Forgotten(log).add("ann@x.example")
    with pytest.raises(LogChanged):
        enqueue(letter)


def test_a_name_that_was_taken_out_of_the_letter_meanwhile(campaign: SmallCampaign, log: Log):
    nobodys = ANN.replace("ann@x.example", "")
    campaign.change("signatories.csv", ANN, nobodys)
    enqueue(prepared(campaign, log, limit=1))
    letter = prepared(campaign, log)
    campaign.change("signatories.csv", nobodys, ANN)
    desk_of(campaign, log).withdraw(anns(log), "link")
    with pytest.raises(LogChanged):
        enqueue(letter)


def test_who_has_a_namesake_in_the_file_stops_nothing(campaign: SmallCampaign, log: Log):
    campaign.change("signatories.csv", "ann@x.example", "")
    enqueue(prepared(campaign, log, limit=1))
    letter = prepared(campaign, log)
    desk_of(campaign, log).withdraw(anns(log), "link")
    enqueue(letter)
    assert prepared(campaign, log).plan.loses is None


def test_who_signs_nothing_that_the_letter_names_stops_nothing(campaign: SmallCampaign, log: Log):
    sign(campaign, "cy@x.example", "Cy Ro")
    letter = prepared(campaign, log)
    [cy] = signatures.signatures_of(log, "cy@x.example")
    desk_of(campaign, log).withdraw(cy, "link")
    say(campaign, log, updates=True)
    enqueue(letter)
    assert log.newest("open-letter") is not None


def test_who_is_new_in_a_follow_up_by_another_day_in_the_file_has_not_left(log: Log):
    body, before = f"{NAMES}, {COUNT}", letter_before()
    ann, bo = signed_on("Ann", AFTER), signed_on("Bo", AFTER)
    old = follow_up(body, before, [ann, bo])
    not_new = follow_up(body, before, [ann, signed_on("Bo", BEFORE)])
    assert not differs_by_who_left(old, not_new, [], log)
    assert differs_by_who_left(old, follow_up(body, before, [ann]), [bo], log)
