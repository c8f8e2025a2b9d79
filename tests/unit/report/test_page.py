"""A new state or kind of answer needs a place on the report page."""

import re
from importlib.resources import files

import pytest

from petition.outbox.answers import Channel, Status
from petition.outbox.states import State
from petition.report import page
from petition.report.markup import tag

STYLE = (files("petition.report") / "style.css").read_text(encoding="utf-8")


def test_every_state_is_in_one_group():
    shown = [state for states in page._GROUPS.values() for state in states]
    assert sorted(shown) == sorted(State)


@pytest.mark.parametrize("name", [*page._GROUPS, *(f"{one}-b" for one in Status)])
def test_every_group_and_every_answer_has_a_colour_by_day_and_by_night(name: str):
    assert len(re.findall(rf"--{name}: #", STYLE)) == 2


def test_every_channel_has_words():
    assert page.CHANNELS.keys() == set(Channel)


def test_all_text_of_an_element_is_escaped():
    inner = tag("b", "<i>")
    assert tag("p", inner, "&", title='"<') == ('<p title="&quot;&lt;"><b>&lt;i&gt;</b>&amp;</p>')
