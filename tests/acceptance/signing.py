"""Signatures in the log of a small campaign, as the form and the inbox put them there."""

from petition.campaign.folder import load_campaign
from petition.outbox import signatures
from petition.outbox.log import Log
from petition.outbox.signatures import Review, SignatureEntry, SignatureRecord, Wording
from petition.signing import SigningDesk
from tests.acceptance.small import SmallCampaign

WORDS = Wording("en", "I sign this letter.")
SIGN = '\n[sign]\nmailto = "sign@campaign.example"\n'
SIGNATORIES = (
    "name,kind,email,publish\n"
    "River Friends,organisation,river@x.example,yes\n"
    "Ann Reed,individual,ann@x.example,yes\n"
    "Bea Shy,individual,bea@x.example,no\n"
)


def taking_signatures(campaign: SmallCampaign) -> SmallCampaign:
    """The same campaign, which people sign by mail, and whose letter says how many have."""
    text = (campaign.root / "petition.toml").read_text(encoding="utf-8")
    campaign.write("petition.toml", text + SIGN)
    campaign.write("signatories.csv", SIGNATORIES)
    campaign.change(
        "letters/open-letter.md",
        "{{ signatories }}",
        "{{ signatories | length }} signed:\n\n{{ signatories }}",
    )
    return campaign


def log_of(campaign: SmallCampaign) -> Log:
    """The log of a campaign: that of its rehearsals, unless it has a server."""
    if url := campaign.env.get("PETITION_DATABASE"):
        return Log(url)
    name = "petition.db" if "PETITION_SMTP_HOST" in campaign.env else "rehearsal.db"
    return Log(f"sqlite:///{campaign.root / name}", rehearses=name == "rehearsal.db")


def sign(
    campaign: SmallCampaign,
    mailbox: str,
    name: str,
    *,
    confirms: bool = True,
    review: Review = Review.WAITING,
    **more: object,
) -> SignatureRecord:
    """Somebody signs, and confirms that."""
    entry = SignatureEntry(name, **({"publish": True} | more))  # type: ignore[arg-type]
    with log_of(campaign) as log:
        with log.writing():
            one, _ = signatures.submit(log, "open-letter", mailbox, entry, WORDS, "form")
        if confirms:
            signatures.confirm(log, one, "link")
        with log.writing():
            signatures.review(log, one.id, review, "a person")
        return signatures.one(log, one.id)


def withdraw(campaign: SmallCampaign, mailbox: str) -> None:
    """Somebody takes the signature back, as on the page."""
    with log_of(campaign) as log:
        [one] = signatures.signatures_of(log, mailbox)
        assert desk_of(campaign, log).withdraw(one, "link") is not None


def hide_name(campaign: SmallCampaign, mailbox: str) -> None:
    """Somebody does not want to be named any more."""
    with log_of(campaign) as log:
        [one] = signatures.signatures_of(log, mailbox)
        entry = one.entry._replace(publish=False)
        desk_of(campaign, log).change(one, entry, WORDS, "link")


def desk_of(campaign: SmallCampaign, log: Log) -> SigningDesk:
    """What takes signatures for a campaign, as its files are now."""
    return SigningDesk.of(log, load_campaign(campaign.root))
