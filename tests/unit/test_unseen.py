"""Characters that nobody sees: what each place does with them."""

import pytest
from pydantic_core import PydanticCustomError

from petition.address import clean_name
from petition.campaign.validation import one_line
from petition.cli import output
from petition.errors import AddressRefused
from petition.merge.attachments import _check_path
from petition.merge.headers import check_text
from petition.template.fields import CellRefused

CONTROLS = ["\x00", "\n", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\ud800"]
REORDERING = ["\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff"]
WRITTEN = ["\u200b", "\u200c", "\u200d", "\u00ad"]


@pytest.mark.parametrize("char", CONTROLS + REORDERING)
def test_what_is_obeyed_or_disguises_is_shown_and_never_in_a_name_or_a_path(char: str):
    assert char not in output.clean(f"a{char}b")
    with pytest.raises(AddressRefused):
        clean_name(f"a{char}b")
    with pytest.raises(CellRefused):
        _check_path(f"files/a{char}fdp.exe")


@pytest.mark.parametrize("char", CONTROLS)
def test_a_control_character_is_never_in_a_header_or_a_setting(char: str):
    with pytest.raises(CellRefused):
        check_text(f"a{char}b", "the subject")
    with pytest.raises(PydanticCustomError):
        one_line(f"a{char}b")


@pytest.mark.parametrize("char", REORDERING)
def test_a_header_and_a_setting_can_have_the_marks_of_right_to_left_text(char: str):
    assert check_text(f"a{char}b", "the subject") == f"a{char}b"
    assert one_line(f"a{char}b") == f"a{char}b"


@pytest.mark.parametrize("char", WRITTEN)
def test_joiners_and_soft_hyphens_stay(char: str):
    assert clean_name(f"a{char}b") == f"a{char}b"
    assert output.clean(f"a{char}b") == f"a{char}b"
    _check_path(f"files/a{char}b.pdf")
