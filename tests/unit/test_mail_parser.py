"""Addresses as mail programs write them in headers."""

import pytest

from petition.mail_parser import all_addresses, first_address


@pytest.mark.parametrize("form", ["Jo\u0308rg <jo\u0308rg@x.example>", "jo\u0308rg@x.example"])
def test_a_decomposed_letter_is_part_of_an_address(form: str):
    assert first_address(form) == "j\u00f6rg@x.example"
    assert all_addresses(form) == ["j\u00f6rg@x.example"]
