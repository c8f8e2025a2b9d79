import pytest
import typer

from petition.cli import main
from petition.errors import (
    CampaignError,
    ExitStatus,
    Level,
    LogBusy,
    MergeRefused,
    PetitionError,
    Problem,
    ServerTrouble,
    UsageError,
)

PROBLEM = Problem("recipients.csv", 3, "what is wrong", "Mend it")
SUM = "1 error.\n"
WARNING = Problem("recipients.csv", 4, "what is odd", "Look", Level.WARNING)


def end_of(error: BaseException, monkeypatch) -> int:
    """The exit status of the program when a command raises this."""
    app = typer.Typer(cls=main.Commands, rich_markup_mode=None, add_completion=False)

    def fail() -> None:
        raise error

    app.command("fail")(fail)
    app.callback()(lambda: None)
    monkeypatch.setattr(main, "app", app)
    monkeypatch.setattr("sys.argv", ["petition", "fail"])
    with pytest.raises(SystemExit) as caught:
        main.run()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (PetitionError("it broke", "Mend it"), 1, "petition: it broke. Mend it.\n"),
        (UsageError("not so"), 2, "petition: not so.\n"),
        (LogBusy("another one sends", "Wait"), 2, "petition: another one sends. Wait.\n"),
        (ServerTrouble("no answer", "Try later"), 4, "petition: no answer. Try later.\n"),
        (MergeRefused(PROBLEM), 1, "petition: recipients.csv:3: what is wrong. Mend it.\n"),
        (
            CampaignError([PROBLEM, WARNING]),
            1,
            f"{PROBLEM}\nrecipients.csv:4: warning: what is odd. Look.\n{SUM}",
        ),
        (KeyboardInterrupt(), 130, "Interrupted; everything that was done is recorded.\n"),
        (PetitionError("a \x1b[2J cell"), 1, "petition: a ␛[2J cell.\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_our_errors_are_a_sentence_and_a_status(
    error: BaseException, status: int, said: str, monkeypatch, capsys
):
    assert end_of(error, monkeypatch) == status
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", said)


def test_trouble_with_a_file_names_the_file(monkeypatch, capsys):
    fault = PermissionError(13, "Permission denied", "letters/open-letter.md")
    assert end_of(fault, monkeypatch) == ExitStatus.PROBLEMS
    assert "letters/open-letter.md: Permission denied" in capsys.readouterr().err


def test_a_fault_of_our_own_asks_to_be_reported(monkeypatch, capsys):
    monkeypatch.delenv("PETITION_DEBUG", raising=False)
    assert end_of(ZeroDivisionError("x"), monkeypatch) == ExitStatus.PROBLEMS
    said = capsys.readouterr().err
    assert "Internal error: ZeroDivisionError in fail" in said
    assert "Please report it" in said
    assert "Traceback" not in said


def test_a_developer_sees_the_traceback(monkeypatch):
    monkeypatch.setenv("PETITION_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        end_of(ZeroDivisionError("x"), monkeypatch)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_one_line_of_help(name: str):
    command = main.load(name)
    assert command.name == name
    assert command.help == main.COMMANDS[name][1]
    assert command.get_short_help_str(60).endswith(".")
