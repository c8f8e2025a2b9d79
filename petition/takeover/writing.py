"""A mailmerge campaign as the files of a campaign folder."""

import csv
import io
import json
import re

from petition.errors import CampaignError, Problem, UsageError
from petition.merge.template.foreign import (
    ForeignTemplate,
    markdown_as_markdown,
    plain_as_markdown,
    written_out,
)
from petition.takeover.mailmerge import SERVER, TEMPLATE, MailmergeCampaign

LETTER = "letter"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SECURITY = {"SSL/TLS": "tls", "STARTTLS": "starttls", "XOAUTH": "starttls"}


def files_of(campaign: MailmergeCampaign, title: str) -> tuple[dict[str, str], list[str]]:
    """The files of the new folder, and what a person should know of them.

    Args:
        campaign: What mailmerge would send.
        title: What the new campaign is called.

    Raises:
        CampaignError: The letter cannot be written in Markdown.
    """
    notes = [
        f'The column "{theirs}" is called {ours} here.'
        for theirs, ours in campaign.columns.items()
        if theirs != ours
    ]
    letter = _letter(campaign)
    notes += [
        f'The letter says nothing where "{column}" is empty (line {line} is the first).'
        for column, line in campaign.can_be_empty.items()
    ]
    notes += [f"Of {name} the copy shows the address alone." for name in campaign.dropped_names]
    if campaign.attachments:
        paths = ", ".join(one.text for one in campaign.attachments)
        notes.append(f"Copy what the letter attaches into the folder: {paths}.")
    settings = _settings(campaign, title, notes)
    files = {
        "petition.toml": settings,
        f"letters/{LETTER}.md": letter,
        "recipients.csv": _recipients(campaign),
    }
    return files, notes


def _letter(campaign: MailmergeCampaign) -> str:
    front = [f"subject: {_quoted(_line(campaign.subject, campaign))}"]
    for key, addresses in (("cc", campaign.cc), ("bcc", campaign.bcc)):
        if addresses:
            front.append(f"{key}: {_quoted(addresses)}")
    if campaign.attachments:
        paths = [_line(one, campaign) for one in campaign.attachments]
        front.append(f"attachments: {_quoted(paths)}")
    marked = campaign.body.marked()
    convert = markdown_as_markdown if campaign.is_markdown else plain_as_markdown
    try:
        body = convert(marked)
    except UsageError as refusal:
        raise CampaignError([Problem(TEMPLATE, None, refusal.what, refusal.mend)]) from None
    names, empty = _names(campaign), campaign.can_be_empty
    return "\n".join(["---", *front, "---", written_out(body, marked, names, empty)])


def _line(template: ForeignTemplate, campaign: MailmergeCampaign) -> str:
    marked = template.marked()
    return written_out(marked.text, marked, _names(campaign), campaign.can_be_empty)


def _names(campaign: MailmergeCampaign) -> dict[str, str]:
    return {theirs: f"recipient.{ours}" for theirs, ours in campaign.columns.items()}


def _recipients(campaign: MailmergeCampaign) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(campaign.rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(campaign.rows)
    return text.getvalue()


def _settings(campaign: MailmergeCampaign, title: str, notes: list[str]) -> str:
    server = campaign.server
    host, security = server["host"], server.get("security", "")
    lines = [
        "[campaign]",
        f"title = {_quoted(title)}",
        "",
        "# Where answers go must be said before a letter is sent; mailmerge left it to From.",
        "[sender]",
        f"from = {_quoted(campaign.sender)}",
        f"reply_to = {_quoted(campaign.reply_to or campaign.sender)}",
        "",
        "# The password comes from PETITION_SMTP_PASSWORD, or from a command: password_command.",
        "[smtp]",
        f"host = {_quoted(host)}",
        f"port = {int(server['port'])}",
    ]
    meant = _SECURITY.get(security)
    if not meant and host in _LOOPBACK:
        meant = "none"
    elif not meant:
        meant = "starttls"
        how = f"security = {security}" if security else "no security"
        notes.append(f"{SERVER} says {how}; petition encrypts the connection to {host}.")
    lines.append(f"security = {_quoted(meant)}")
    if security and server.get("username"):
        lines.append(f"username = {_quoted(server['username'])}")
    if security == "XOAUTH":
        lines.append('auth = "xoauth2"')
        notes.append("Set token_command in [smtp] to the command that prints the XOAUTH token.")
    if rate := int(server.get("ratelimit") or 0):
        lines += ["", "[pace]", f'rate = "{rate}/min"']
    return "\n".join([*lines, ""])


def _quoted(value: str | list[str]) -> str:
    """A value as TOML and YAML both read it: JSON, with control characters escaped."""
    made = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda one: f"\\u{ord(one[0]):04x}", made)
