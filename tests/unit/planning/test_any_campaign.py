"""Any text in any file of a campaign: check tells of it, points at it, and never breaks."""

from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.campaign.folder import load_campaign
from petition.checks.campaign import examine, in_order
from petition.cli.excerpts import Excerpts
from petition.errors import CampaignError, Problem
from petition.identity import Signer
from petition.merge.message import Merger
from petition.planning.selection import check_list
from tests.unit.campaign.conftest import LETTER, PEOPLE, TOML, Folder

PIECES = st.sampled_from(
    ["---\n", "subject: x\n", "cc: [", "]", "to: recipients\n", "{{ ", " }}", "{% if ", " %}",
     "{% endif %}", "recipient.name", "recipient.nam", "demands", "signatories", "|upper", "~",
     "## ", "{#one}", "\n", "\n\n", "- ", "[a](", ")", "![", "`", "*", "email", "name", ",", ";",
     '"', "kim@kaz.example", "[email protected]", "\u202e", "\u2067", "\u2069", "ж", "\0", "\x1b",
     "[campaign]\n", "[sender]\n", 'title = "x"\n', "languages = [", "from = ", "[smtp]\n", "1",
     "publish", "yes", "kind", "\U00100000", "\u00a0", "\r"]
)  # fmt: skip
TEXT = st.lists(PIECES, max_size=25).map("".join)
FILES = {
    "petition.toml": TOML,
    "letters/open-letter.md": LETTER,
    "letters/demands.md": "## One {#one}\n",
    "recipients.csv": PEOPLE,
    "signatories.csv": "name,publish\nKim,yes\n",
}


def problems_of(folder: Folder) -> list[Problem]:
    try:
        campaign = load_campaign(folder.root)
    except CampaignError as fault:
        return fault.problems
    problems = list(campaign.problems)
    for name in campaign.letters:
        examined = examine(campaign, name, server=None, campaign_id="id", today=date(2015, 9, 28))
        frozen = examined.frozen
        merger = Merger(frozen, Signer(b"k" * 32), examined.files) if frozen else None
        check_list(examined, merger, 1, list)
        problems += examined.problems
    return in_order(problems)


@pytest.mark.hypothesis
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("whole", [True, False], ids=["alone", "behind what is right"])
def test_any_text_as_any_file(tmp_path, file, whole):
    folder = Folder(tmp_path)
    for name, content in FILES.items():
        folder.write(name, content)

    @given(TEXT)
    @example("---\nsubject: x\n---\none line\n\U00100000 another\n")
    def check(text):
        folder.write(file, text if whole else FILES[file] + text)
        problems = problems_of(folder)
        excerpts = Excerpts(folder.root)
        for problem in problems:
            assert str(problem).encode("utf-8", "surrogatepass")
            if excerpt := excerpts.of(problem):
                assert excerpt.line >= (problem.line or 0)
                assert 0 <= excerpt.begin <= excerpt.end <= len(excerpt.text)

    check()


def test_what_is_right_has_no_problem(tmp_path):
    folder = Folder(tmp_path)
    for name, content in FILES.items():
        folder.write(name, content)
    assert [problem for problem in problems_of(folder) if problem.is_error] == []
