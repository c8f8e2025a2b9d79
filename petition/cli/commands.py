"""The commands: their modules, and what the help says of each.

`petition --help` needs all of it at once and loads no command.
"""

from typing import NamedTuple


class Listed(NamedTuple):
    """A command as `petition help all` lists it."""

    module: str  # of petition.cli, loaded when the command is called; it has a function of its name
    summary: str
    examples: tuple[str, str]  # each without `petition`


GROUPS = {
    "Begin": {
        "init": Listed(
            "setup",
            "Start a campaign: a small one that works at once, to be changed.",
            ("init clean-water", "init clean-water --provider gmail"),
        ),
        "provider": Listed(
            "provider",
            "Set up a campaign for Gmail, Microsoft 365 or another provider.",
            ("provider", "provider gmail"),
        ),
        "trust": Listed(
            "setup",
            "Confirm the commands and servers that a folder asks for.",
            ("trust", "trust --revoke"),
        ),
        "login": Listed(
            "login",
            "Log in to a mail server in a web browser, without a password.",
            ("login", "login smtp --device"),
        ),
    },
    "Write": {
        "check": Listed(
            "check",
            "Find everything that is wrong, in all files at once.",
            ("check", "check open-letter --online"),
        ),
        "preview": Listed(
            "preview",
            "Show a letter as a recipient would get it, byte for byte.",
            ("preview open-letter --to ann@example.org", "preview open-letter --book copies.html"),
        ),
    },
    "Send": {
        "send": Listed(
            "send",
            "Send a letter to everyone on its list who does not have it yet.",
            ("send open-letter --to-me me@example.org", "send open-letter --dry-run"),
        ),
        "approve": Listed(
            "approve",
            "Type an approver's code, or show who was asked and what was said.",
            ("approve", "approve K7QM9-HXTRC"),
        ),
        "status": Listed(
            "status",
            "Show how many letters are queued, sent, failed and so on.",
            ("status open-letter", "status open-letter --state failed"),
        ),
        "log": Listed(
            "log",
            "Show every event of every letter, oldest first.",
            ("log ann@example.org", "log --csv > log.csv"),
        ),
        "resolve": Listed(
            "manual",
            "Record whether uncertain letters arrived.",
            ("resolve ann@example.org --sent", "resolve --all --not-sent --letter open-letter"),
        ),
        "retry": Listed(
            "manual",
            "Queue failed letters again, for the next send or the workers.",
            ("retry open-letter", "retry open-letter ann@example.org"),
        ),
        "withdraw": Listed(
            "manual",
            "Take letters that are queued or deferred out of the queue.",
            ("withdraw open-letter", "withdraw open-letter ann@example.org"),
        ),
        "suppress": Listed(
            "manual",
            "Never write to a mailbox again, whatever the list says.",
            ("suppress ann@example.org", "suppress --from opted-out.csv"),
        ),
    },
    "Listen": {
        "inbox": Listed(
            "inbox",
            "Read what comes back: bounces, answers and requests to leave.",
            ("inbox", "inbox --watch"),
        ),
        "signatures": Listed(
            "signatures",
            "List who signed by form or mail; approve, hide, merge, export.",
            ("signatures --approve all", "signatures --export"),
        ),
        "answer": Listed(
            "answer",
            "Record what somebody answered, or sort new answers by key.",
            (
                "answer",
                'answer ann@example.org met --channel phone --quote "We will do it."',
            ),
        ),
    },
    "Tell": {
        "report": Listed(
            "report",
            "Show on one page what became of the letters and the answers.",
            ("report", "report --html report.html --public"),
        ),
        "publish": Listed(
            "publish",
            "Write the public site: the letter, who signed, who has answered.",
            ("publish site", "publish site --rehearsal"),
        ),
        "evidence": Listed(
            "report",
            "Pack letters, events and answers as evidence; or verify a pack.",
            ("evidence pack.zip", "evidence pack.zip --verify"),
        ),
        "export": Listed(
            "forget",
            "Show everything that is held about a person.",
            ("export ann@example.org", "export ann@example.org --json > ann.json"),
        ),
        "forget": Listed(
            "forget",
            "Erase a person from the log, and never write to them again.",
            ("forget ann@example.org", "forget --expired"),
        ),
    },
    "Run it for many": {
        "migrate": Listed(
            "setup",
            "Move the log to another database, whole or not at all.",
            ("migrate postgresql://localhost/petition", "migrate sqlite:///petition.db"),
        ),
        "worker": Listed(
            "worker",
            "Send what `send --workers` has queued, beside other workers.",
            ("worker", "worker --once --json"),
        ),
        "serve": Listed(
            "serve",
            "Serve the pages to leave a list and to sign, behind a web server.",
            ("serve --root-path /letters", "serve --sign --site --proxy 127.0.0.1"),
        ),
        "sandbox": Listed(
            "sandbox",
            "Run a mail server that keeps letters and delivers none.",
            ("sandbox", "sandbox --port 2525"),
        ),
    },
    "Help": {
        "help": Listed(
            "shell",
            "Show the help of a command, or a page of the documentation.",
            ("help send", "help it-crashed.md"),
        ),
        "completion": Listed(
            "shell",
            "Have Tab complete commands, letters and people in your shell.",
            ("completion", "completion bash"),
        ),
    },
}
COMMANDS = {name: one for group in GROUPS.values() for name, one in group.items()}

# What `petition --help` shows: these take an organiser through a first campaign.
FIRST = (
    "init", "check", "preview", "provider", "login", "send", "status", "inbox", "answer", "report",
)  # fmt: skip
