"""What is asked for by a row's number, and slips that only some rows have."""

import pytest

from tests.acceptance.small import SmallCampaign


@pytest.mark.parametrize("heading", ["id", "akid", "Contact ID", "uuid"])
def test_a_number_is_an_id_or_a_row_whatever_the_column_is_called(
    campaign: SmallCampaign, heading: str
):
    campaign.write(
        "recipients.csv",
        f"{heading},email,name,town\n7,p1@x.example,P1,A\n1,p2@x.example,P2,B\n",
    )
    assert "To: P2" in campaign.petition("preview", "--to", "1").out
    assert "To: P2" in campaign.petition("preview", "--to", "2").out
    assert "To: P1" in campaign.petition("preview", "--to", "7").out


def test_a_slip_of_one_row_is_found_behind_rows_without_one_and_counted_once(
    campaign: SmallCampaign,
):
    rows = [f"p{number}@x.example,Person {number},Town" for number in range(9)]
    rows[6] = "p6@x.example,Tim TODO,Town"
    campaign.write("recipients.csv", "\n".join(["email,name,town", *rows, ""]))
    said = [line for line in campaign.petition("check").out.splitlines() if "TODO" in line]
    assert said
    assert not any("rows" in line for line in said)
    assert all("recipients.csv:8" in line for line in said)


def test_again_says_who_opted_out(campaign: SmallCampaign):
    campaign.petition("send", "open-letter", status=0)
    campaign.petition("suppress", "P1@X.example", status=0)
    said = campaign.petition("send", "open-letter", "--again").out
    assert "1 suppressed" in said
