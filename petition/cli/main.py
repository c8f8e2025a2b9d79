"""The program: its commands, and how its errors are shown."""

import contextlib
import gc
import os
import re
import sys
import traceback
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from petition import __version__, system
from petition.cli.commands import COMMANDS, FIRST
from petition.errors import CampaignError, ExitStatus, PetitionError, UsageError

AS_JSON = "petition.as_json"  # in a context's `meta`: the command was called with --json


class Command(TyperCommand):
    """A command whose help names an argument by its meaning, not by its type."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read its arguments; Typer passes on what pydantic puts before an error."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as fault:
            fault.message = fault.message.removeprefix("Value error, ")
            raise

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run it; its errors are shown as JSON too if it was called with --json."""
        ctx.meta[AS_JSON] = bool(ctx.params.get("as_json"))
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """What the usage line shows after the command: LETTER, not {letter}."""
        pieces = super().collect_usage_pieces(ctx)
        return [piece[1:-1].upper() if piece.startswith("{") else piece for piece in pieces]

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Write the arguments and the options."""
        for heading, kind in (("Arguments", "argument"), ("Options", "option")):
            if rows := self.help_rows(ctx, kind):
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def help_rows(self, ctx: typer.Context, kind: str) -> list[tuple[str, str]]:
        """Its arguments or options with their help, without the types of arguments."""
        params = (one for one in self.get_params(ctx) if one.param_type_name == kind)
        found = filter(None, (one.get_help_record(ctx) for one in params))
        return [(name.partition(" <")[0], _NOTES.sub("", text)) for name, text in found]

    def format_epilog(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Write the examples, each in one line that can be copied."""
        if self.epilog:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {one}\n" for one in self.epilog.splitlines()))


# What Typer adds to a help text: that an argument is required, the range of a number.
_NOTES = re.compile(r"  \[(?:required|[\d<>=x]+)\]$|; [\d<>=x]+(?=\]$)")
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
BROKEN_PIPE = 141  # what a shell makes of SIGPIPE: nobody reads the output any more

_UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of such bytes on a command line


def load(name: str) -> TyperCommand:
    """A command, from the function of its name in its module."""
    listed = COMMANDS[name]
    alone = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_CONTEXT,
    )
    command = getattr(import_module(f"petition.cli.{listed.module}"), name)
    examples = "\n".join(f"petition {one}" for one in listed.examples)
    alone.command(name, cls=Command, help=listed.summary, epilog=examples)(command)
    return cast("TyperCommand", get_command(alone))


class Commands(TyperGroup):
    """The commands; an error ends the program with a sentence and an exit status."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002
        """What the usage line shows after the program."""
        return ["[-C DIR]", "COMMAND", "..."]

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Write the commands of a first campaign, and the options."""
        with formatter.section("A first campaign"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in FIRST])
        records = (one.get_help_record(ctx) for one in self.get_params(ctx))
        with formatter.section("Options"):
            formatter.write_dl(list(filter(None, records)))

    def format_epilog(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Say where there is more help."""
        formatter.write_paragraph()
        formatter.write("With examples: petition help send    All commands: petition help all\n")

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]  # noqa: ANN401 (as in Typer)
        """Load the command that is called."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest

    def invoke(self, ctx: typer.Context) -> None:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            super().invoke(ctx)
        except PetitionError as error:
            _say(error, ctx)
            raise typer.Exit(error.exit_status) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted; everything that was done is recorded.", err=True)
            raise typer.Exit(ExitStatus.INTERRUPTED) from None
        except UnicodeEncodeError:
            if not any(map(_UNDECODED.search, sys.argv)):
                raise
            what = "the command line is not valid UTF-8"
            _say(UsageError(what, "Type it again; nothing was done"), ctx)
            raise typer.Exit(ExitStatus.NOTHING_DONE) from None
        except MemoryError:
            what = "there is not enough memory; everything that was done is recorded"
            _say(PetitionError(what, "Close other programs and run the command again"), ctx)
            raise typer.Exit(ExitStatus.PROBLEMS) from None
        except OSError as fault:
            if system.has_no_reader(fault):
                _be_quiet()
                raise typer.Exit(BROKEN_PIPE) from None
            file = f"{fault.filename}: " if fault.filename else ""
            hint = "Check the file and the disk, then try again"
            _say(PetitionError(f"{file}{_strerror(fault)}", hint), ctx)
            raise typer.Exit(ExitStatus.PROBLEMS) from None


app = typer.Typer(
    cls=Commands,
    name="petition",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # importing rich would take longer than the help
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
)


def _is_loaded_when_called() -> None:
    """Stands in for each command until `Commands.resolve_command` loads it."""


for name, listed in COMMANDS.items():
    app.command(name, help=listed.summary)(_is_loaded_when_called)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"petition {__version__}")
        raise typer.Exit


@app.callback()
def petition(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("-C", metavar="DIR", help="Run as if started in DIR.", show_default=False),
    ] = None,
    version: Annotated[  # noqa: ARG001 (its callback has answered it)
        bool,
        typer.Option(
            "-V", "--version", help="Show the version.", callback=_say_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Send an open letter to each person, and know what became of each copy."""
    if folder is not None:
        # `--print-schedule` names the program, which may have been called by a relative path.
        sys.argv[0] = str(Path(sys.argv[0]).absolute())
        try:
            os.chdir(folder)
        except (OSError, ValueError) as fault:
            _say(PetitionError(f"cannot change to {folder}: {_strerror(fault)}"))
            raise typer.Exit(ExitStatus.NOTHING_DONE) from None
    context.obj = Path.cwd()


def run() -> NoReturn:
    """Run the program and end with its exit status."""
    gc.set_threshold(20_000)  # not each 700 objects: cycles are few, and modules have many objects
    system.prepare()
    _prepare_streams()
    status: object = ExitStatus.DONE
    try:
        get_command(app).main(prog_name="petition")
    except SystemExit as end:
        status = end.code
    except OSError as fault:  # in a help text: `Commands.invoke` handles the others
        status = _unwritten(fault)
    except Exception as fault:
        if os.environ.get("PETITION_DEBUG"):
            raise
        if isinstance(fault, ModuleNotFoundError):
            what = f"this Python has no module {(fault.name or '').lstrip('_')}"
            hint = "Install petition again, with a Python from python.org or of your system"
            _say(PetitionError(what, hint))
        else:
            _report()
        status = ExitStatus.PROBLEMS
    status = _flush() or status
    gc.freeze()  # an end that looks for cycles in all that was loaded takes 40 ms
    sys.exit(status)  # type: ignore[arg-type]


def _prepare_streams() -> None:
    # Closed by the parent process: output is discarded, which is not an error.
    if not (sys.stdout and sys.stderr):
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (open to the end)
        sys.stdout = sys.stdout or nowhere
        sys.stderr = sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        # A terminal without Unicode shows a replacement for a letter that it lacks.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=system.OUTPUT_ENCODING, errors="replace")


def _flush() -> int:
    """Write what is left of the output; the exit status if that fails, else 0."""
    try:
        sys.stdout.flush()
    except OSError as fault:
        return _unwritten(fault)
    return ExitStatus.DONE


def _unwritten(fault: OSError) -> int:
    is_unread = system.has_no_reader(fault)
    if not is_unread:
        _say(PetitionError(f"the output could not be written: {_strerror(fault)}"))
    _be_quiet()
    return BROKEN_PIPE if is_unread else ExitStatus.PROBLEMS


def _report() -> None:
    kind, error, trace = sys.exc_info()
    last = traceback.extract_tb(trace)[-1]
    what = f"Internal error: {kind.__name__ if kind else error} in {last.name}"
    hint = "Please report it, with what the command shows when PETITION_DEBUG=1 is set"
    _say(PetitionError(what, hint))


def _say(error: PetitionError, context: typer.Context | None = None) -> None:
    # Here, since --help needs no rich, whose import would take longer than the help.
    from petition.cli import output  # noqa: PLC0415

    if isinstance(error, CampaignError):
        from petition.cli.problems import show_problems  # noqa: PLC0415

        show_problems(error.problems, on_stderr=True)
        errors = sum(problem.is_error for problem in error.problems)
        is_send = context and context.invoked_subcommand == "send"
        unsent = "; nothing was sent" if is_send else ""
        output.say_error(f"{output.count(errors, 'error')}{unsent}.")
    else:
        output.say_error(f"petition: {error}")
    if context and context.meta.get(AS_JSON):
        with contextlib.suppress(OSError):  # the output itself may be what failed
            output.json_error(error)


def _strerror(fault: Exception) -> str:
    return (fault.strerror if isinstance(fault, OSError) else None) or str(fault)


def _be_quiet() -> None:
    """Discard what is still to be written: nobody reads it any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
