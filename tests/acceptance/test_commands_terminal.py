"""The commands as a person sees them: a terminal of 80 columns, with and without colour."""

import re
import unicodedata

import pytest
from rich.text import Text

from petition.cli import output
from petition.outbox.states import State
from tests.acceptance.queued import queue
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server

STYLE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|38;5;[0-9]+)m")
HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "\x1b]52;c;aGk=\x07",
    "[bold]Company[/red] Ltd",
    "\x9b31m",
    "\u202egnp.exe",
    "a\u2028b",
)
CELLS = tuple(text for text in HOSTILE if "\u202e" not in text)  # a row with one is refused
COMMANDS = (
    ["check"],
    ["preview"],
    ["preview", "--as", "source"],
    ["preview", "--diff", "p1", "p2"],
    ["status"],
    ["status", "open-letter"],
    ["status", "--state", "failed"],
    ["log"],
    ["suppress"],
    ["suppress", "a-very-long-local-part-of-an-address@a-very-long-domain-name-indeed.example"],
    ["retry", "open-letter"],
)


def on_terminal(campaign: SmallCampaign, arguments: list[str], **env: str) -> str:
    """What a terminal of 80 columns gets."""
    status, text = campaign.on_terminal(*arguments, **env).end()
    assert status in {0, 1}, text
    return text


def test_ctrl_c_at_the_question_sends_nothing(campaign: SmallCampaign):
    with counting_server() as server:
        live = campaign.through(server.port)
        child = live.on_terminal("send", "open-letter")
        child.expect_exact("[y/N]")
        child.interrupt()
        child.expect_exact("\r\nNothing was sent.")
        assert child.end()[0] == 130
        assert not server.accepted
    assert not live.states()


def width(line: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in line
    )


@pytest.fixture
def shown(campaign: SmallCampaign) -> SmallCampaign:
    campaign.list_people("p1", "p2", "p3", "p4", p2="Жезқазған қаласы, Қарағанды облысы")
    queue(campaign, p1=State.SENT, p2=State.DEFERRED, p3=State.FAILED, p4=State.UNCERTAIN)
    return campaign


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}], ids=["colour", "NO_COLOR"])
def test_every_line_fits_and_nothing_but_styles_is_obeyed(
    shown: SmallCampaign, env: dict[str, str]
):
    for arguments in COMMANDS:
        text = on_terminal(shown, arguments, **env)
        bare = STYLE.sub("", text)
        assert "\x1b" not in bare
        assert max(map(width, bare.splitlines())) <= 80
        assert not (env and COLOUR.search(text))


def test_colour_is_there_and_no_color_takes_it_away(shown: SmallCampaign):
    assert COLOUR.search(on_terminal(shown, ["status"]))
    assert not COLOUR.search(on_terminal(shown, ["status"], NO_COLOR="1"))
    assert "\x1b" not in shown.petition("status", status=0).out


def test_nothing_is_faint_but_the_margin_of_a_line_that_is_shown(shown: SmallCampaign):
    shown.change("letters/open-letter.md", "{{ reply_by }}", "{{ repy_by }}")
    seen = "".join(on_terminal(shown, arguments) for arguments in COMMANDS)
    faint = re.findall(r"\x1b\[(?:[0-9;]*;)?2m([^\x1b]*)\x1b", seen)
    assert faint
    assert all(re.fullmatch(r"[ \d]*\| ", text) for text in faint)


def luminance(red: int, green: int, blue: int) -> float:
    """Of WCAG 2."""
    parts = [one / 255 for one in (red, green, blue)]
    parts = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("name", [output.GOOD, output.BAD, output.CARE, output.NOTE])
def test_a_colour_is_read_on_a_light_and_on_a_dark_terminal(name: str):
    colour = output.THEME.styles[name].color
    assert colour is not None
    light = luminance(*colour.get_truecolor())
    assert 1.05 / (light + 0.05) >= 3.9
    assert (light + 0.05) / 0.05 >= 3.9


def test_failed_and_sent_are_told_apart_without_colour(shown: SmallCampaign):
    text = on_terminal(shown, ["status", "open-letter"], NO_COLOR="1")
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("P")}
    assert STYLE.sub("", rows["P1"]).split()[1] == "sent"
    assert re.search(r"\x1b\[1mfailed *\x1b\[0m", rows["P3"])
    assert "\x1b[1m" not in rows["P1"]


def test_no_line_ends_within_a_command(shown: SmallCampaign):
    text = STYLE.sub("", on_terminal(shown, ["status", "open-letter"]))
    commands = ("petition status --state failed", "petition retry open-letter")
    assert all(one in text for one in commands)
    status, said = shown.on_terminal("send").end()
    assert status == 2
    assert said.splitlines()[-1] == "petition send open-letter"


@pytest.mark.parametrize("columns", range(40, 100, 7))
def test_a_sentence_is_wrapped_around_its_commands(columns: int):
    told = (
        "Ask them, then petition resolve WHO --sent; or see petition log ann@x.example, and say so."
    )
    lines = [line.plain for line in output._wrapped(Text(f"{told} {told}"), columns)]
    assert " ".join(line.strip() for line in lines) == f"{told} {told}"
    assert max(map(len, lines)) <= columns
    for command in ("petition resolve WHO --sent", "petition log ann@x.example"):
        assert sum(command in line for line in lines) == 2


def test_a_state_is_shown_beside_a_long_name(campaign: SmallCampaign):
    campaign.list_people("p1", "a-very-long-name-of-a-committee-that-nobody-can-say-at-once")
    queue(campaign, p1=State.SENT)
    text = STYLE.sub("", on_terminal(campaign, ["status", "open-letter"]))
    (row,) = [line for line in text.splitlines() if line.startswith("A-Very")]
    assert "queued" in row


def test_an_event_fits_the_terminal(campaign: SmallCampaign):
    long = "clerk-of-the-council-with-a-rather-long-address-of-his-own"
    campaign.list_people("p1", long)
    campaign.write("letters/reminder.md", "---\nto: recipients\nsubject: Again\n---\nHello\n")
    queue(campaign, p1=State.SENT)
    queue(campaign, "reminder")
    lines = STYLE.sub("", on_terminal(campaign, ["log"])).splitlines()
    assert max(map(width, lines)) <= 80
    assert f"    {long}@x.example" in lines
    assert "    reminder" in lines


def test_merge_fields_are_marked_on_a_terminal_alone(shown: SmallCampaign):
    text = on_terminal(shown, ["preview", "--to", "p1"], NO_COLOR="1")
    marked = re.findall(r"\x1b\[[0-9;]*4[0-9;]*m([^\x1b]*)\x1b\[0m", text)
    assert "P1" in marked
    assert "\x1b" not in shown.petition("preview", status=0).out


def test_no_cell_reaches_the_terminal_as_a_command(campaign: SmallCampaign):
    people = [f"p{number}" for number in range(1, len(CELLS) + 1)]
    campaign.list_people(*people, **dict(zip(people, CELLS, strict=True)))
    commands = [["check"], ["preview", "--diff", "p1", "p3"]]
    commands += [["preview", "--to", who] for who in people]
    seen = ""
    for arguments in commands:
        text = STYLE.sub("", on_terminal(campaign, arguments))
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", text)
        seen += text
    assert "[bold]Company[/red] Ltd" in seen
    said = campaign.petition("check").out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", said)


def test_no_reply_reaches_the_terminal_as_a_command(campaign: SmallCampaign):
    import asyncio

    from petition.outbox.log import Log
    from petition.outbox.run import CopyOutcome, Run
    from tests.unit.outbox.hand import record

    queue(campaign)
    with Log(f"sqlite:///{campaign.root}/rehearsal.db") as log:
        from petition.campaign.folder import load_campaign
        from petition.planning.plan import SendOptions
        from petition.planning.prepare import enqueue, prepare

        enqueue(prepare(load_campaign(campaign.root), "open-letter", log, None, SendOptions()))

        async def refuse() -> None:
            run = Run(log, "open-letter")
            for copy, reply in zip(await run.fetch(3), HOSTILE, strict=False):
                refused = CopyOutcome(copy, State.FAILED, True, reply_code=550, reply=reply)
                await record(run, refused)
            await run.close()

        asyncio.run(refuse())
    for arguments in (["log"], ["status", "--state", "failed"]):
        bare = STYLE.sub("", on_terminal(campaign, arguments))
        assert "[bold]Company[/red] Ltd" in bare
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", bare)
        for form in ("--json", "--csv"):
            out = campaign.petition(*arguments, form, status=0).out
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


def test_a_page_of_the_documentation_is_wrapped_to_the_terminal(campaign: SmallCampaign):
    lines = STYLE.sub("", on_terminal(campaign, ["help", "it-crashed.md"])).splitlines()
    code = next(line for line in lines if line.startswith("$ petition status open-letter --csv"))
    assert code.endswith("cut -d , -f 1,4,10")
    prose = lines[: lines.index("```console")]
    assert max(map(len, prose)) <= 80
    assert "closed the terminal, or the program" in " ".join(prose)
