"""What servers say when they refuse, and who answers: a program or a person.

`refusals.csv` and `replies.csv` beside the sample mails have a line for each.
"""

import csv

import pytest

from petition.inbox import patterns
from petition.inbox.classify import explain
from tests.unit.inbox.test_mail_samples import SAMPLES


def lines(name: str) -> list[dict[str, str]]:
    with (SAMPLES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("line", lines("refusals.csv"), ids=lambda line: line["words"][:60])
def test_a_refusal_says_whether_there_is_such_an_address(line: dict[str, str]):
    judged = patterns.judge("", line["words"])
    assert judged.cause.is_permanent is (line["permanent"] == "yes"), judged


@pytest.mark.parametrize("line", lines("replies.csv"), ids=lambda line: line["subject"][:60])
def test_what_a_program_wrote_is_told_from_what_a_person_wrote(line: dict[str, str]):
    header = f"{line['header']}\n" if line["header"] else ""
    mail = (
        f"From: {line['sender']}\nTo: answers@campaign.example\nSubject: {line['subject']}\n"
        f"Content-Type: text/plain; charset=utf-8\n{header}\n{line['text']}\n"
    )
    found = explain(mail.encode())
    assert found.kind == line["kind"], found.reason
