"""Complaints: somebody pressed "spam", and their provider tells (RFC 5965)."""

from petition.inbox.addresses import first_address
from petition.inbox.bounce import returned
from petition.inbox.finding import Finding, Kind
from petition.inbox.mail import Headers, Part, read_headers


def complaint_of(mail: Part) -> Finding | None:
    """A complaint, or None.

    Args:
        mail: The mail.
    """
    if report := feedback_report(mail):
        kind = report.get("feedback-type")[:40].strip() or "abuse"
        named = report.get("original-rcpt-to") or report.get("removal-recipient")
        who = first_address(named) or _recipient(mail)
        return Finding(Kind.COMPLAINT, who or None, None, None, f"a feedback report: {kind}")
    if original := mail.headers.text("x-hmxmroriginalrecipient"):  # what Outlook.com sends
        who = first_address(original)
        return Finding(Kind.COMPLAINT, who or None, None, None, "a feedback report: abuse")
    return None


def feedback_report(mail: Part) -> Headers | None:
    """The fields of a mail's first feedback report, or None.

    Args:
        mail: The mail.
    """
    for part in mail.walk():
        if part.content_type == "message/feedback-report" and not part.inside_message:
            return read_headers(part.beginning(100_000).lstrip())
    return None


def _recipient(mail: Part) -> str:
    return next((first_address(headers.text("to")) for headers in returned(mail)), "")
