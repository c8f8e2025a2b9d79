"""Any bytes as any file of a campaign: problems perhaps, a traceback never."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from petition.campaign.folder import load_campaign
from petition.errors import CampaignError, Problem
from tests.unit.campaign.conftest import Folder
from tests.unit.campaign.samples import judged

PIECES = st.sampled_from(
    [b"---\n", b"subject: ", b"to: ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!bool ", b"? ",
     b": ", b"- ", b"|\n", b">\n", b"'", b'"', b"\\", b"\\ud800", b"\n", b"\r", b"\r\n", b"\t",
     b"## ", b"{#", b"}", b"{{", b"```\n", b",", b";", b"email", b"name", b"id", b"kim@a.example",
     b"[campaign]\n", b"[sender]\n", b"title = ", b"from = ", b"2015-09-28", b"=", b".", b"#",
     b"\0", b"\xff", b"\xfe", b"\xef\xbb\xbf", "ж".encode(), b"%YAML 1.1\n", b"\x1b", b"\x85",
     "\u2028".encode(), b"publish", b"yes", b"<<: "]
)  # fmt: skip
CONTENT = st.binary(max_size=60) | st.lists(PIECES, max_size=25).map(b"".join)
FILES = ["petition.toml", "letters/open-letter.md", "letters/demands.md", "recipients.csv",
         "signatories.csv"]  # fmt: skip


def all_problems(root):
    try:
        campaign = load_campaign(root)
    except CampaignError as fault:
        return fault.problems
    if people := campaign.people("recipients", campaign.problems):
        judged(people, campaign.problems)
    return campaign.problems


@pytest.mark.hypothesis
@pytest.mark.parametrize("file", FILES)
def test_any_bytes_as_any_file(folder, file):
    @given(CONTENT)
    @example(b"a,b\n" + b"x" * 10_000_000)
    @example(b"[" * 100_000)
    @example(b"---\n" + b"{" * 15_000 + b"\n---\nx")
    @example(b"---\n" + b"- " * 9_000 + b"\n---\nx")
    @example(b'a."b".' * 20_000 + b"c = 1")
    @example(b"## a\n" * 200_000)
    @example(b"##" + b" " * 500_000 + b"x")
    @example(b"," * 500_000)
    @example(",".join(map(str, range(100_000))).encode())
    def check(content):
        folder.write(file, content)
        problems = all_problems(folder.root)
        assert all(isinstance(problem, Problem) for problem in problems)
        assert all(problem.line is None or problem.line > 0 for problem in problems)
        assert all(len(str(problem)) < 2_000 for problem in problems)
        assert all(str(problem).encode() for problem in problems)

    check()


def test_what_is_right_has_no_problem(tmp_path):
    assert all_problems(Folder(tmp_path).root) == []
