import pytest
from hypothesis import given
from hypothesis import strategies as st

from petition.campaign.sheet_look import code_of, plain_number, shown_number


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (2110, "00000", "02110"),
        (123456789, "00000-0000", "12345-6789"),
        (5551234567, "(000) 000-0000", "(555) 123-4567"),
        (5, "000-00-0000", "000-00-0005"),
        (1234.5, '#,##0.00 "EUR"', "1,234.50 EUR"),
        (1234567, "#,##0", "1,234,567"),
        (12, "#,##0", "12"),
        (0.15, "0%", "15%"),
        (0.15, "0 %", "15 %"),
        (0.125, "0.0%", "12.5%"),
        (34.3, "$#,##0.00", "$34.30"),
        (34.3, "[$€-407] #,##0.00", "€ 34.30"),
        (34.3, '#,##0.00\\ "₽"', "34.30 ₽"),
        (-34.3, "#,##0.00;[Red](#,##0.00)", "(34.30)"),
        (-34.3, "0.00", "-34.30"),
        (-0.001, "0.00", "0.00"),
        (0, '0;-0;"none"', "none"),
        (0.5, "#.##", ".5"),
        (12.5, "0.0##", "12.5"),
        (1.005, "0.00", "1.01"),  # in decimals, as it is shown
        (1234567, '0.0,,"M"', "1.2M"),
        (7, '"No. "0', "No. 7"),
        (19.989999999999998, "0.00", "19.99"),
        (5, '_("$"* #,##0.00_)', "$5.00"),
    ],
)
def test_a_number_is_shown_as_its_format_says(value, code, shown):
    assert code_of(164, code) == code
    assert shown_number(value, code) == shown


@pytest.mark.parametrize(
    "code", ["General", "d mmmm yyyy", "0.00E+00", "# ?/?", "[>5]0;0.0", "@", "", "0" * 300]
)
def test_of_other_formats_the_number_is_shown_in_full(code):
    assert code_of(164, code) is None


def test_built_in_formats_have_no_code_in_the_file():
    assert code_of(10, None) == "0.00%"
    assert code_of(0, None) is None
    assert code_of(14, None) is None  # a date


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.3"),
        (10 - 9.9, "0.1"),
        (1.0, "1"),
        (-2.5, "-2.5"),
        (1e20, "100000000000000000000"),
        (447911123456.0, "447911123456"),
        (1e-7, "0.0000001"),
        (0.0, "0"),
    ],
)
def test_a_plain_number_has_15_digits_at_most(value, shown):
    assert plain_number(value) == shown


@given(st.integers(0, 10**14), st.sampled_from(["0", "00000", "#,##0", "000-00-0000", "0.000"]))
def test_no_digit_is_lost(value, code):
    shown = shown_number(value, code)
    assert int("".join(char for char in shown.partition(".")[0] if char.isdigit())) == value


@given(st.floats(), st.text('0#?.,%;$"\\_*[]-€ ', max_size=12))
def test_any_code_shows_something_or_is_unknown(value, code):
    if code_of(164, code):
        assert isinstance(shown_number(value, code), str)
