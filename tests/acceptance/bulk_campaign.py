"""A small campaign with a letter to many, in the sandbox."""

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

from tests.acceptance.small import SETTINGS, SmallCampaign

BULK = """\
---
to: supporters
subject: "News from the river"
kind: bulk
---
Dear {{ recipient.name or "friend" }},

the water is clean.

{{ sender.name }}, {{ sender.postal_address }}

[Unsubscribe]({{ unsubscribe }})
"""
WAYS = """
[people]
supporters = "supporters.csv"

[unsubscribe]
url = "https://campaign.example/water/"
mailto = "leave+{token}@campaign.example"
"""
SUPPORTERS = """\
email,name,updates
ann@x.example,Ann,yes
bob@x.example,Bob,no
cyd@x.example,Cyd,
not an address,Dee,yes
Ann@X.example,Ann Again,yes
eve@x.example,Eve,yes
"""


def bulk_campaign(root: Path) -> SmallCampaign:
    campaign = SmallCampaign.at(root)
    settings = SETTINGS.rstrip() + '\npostal_address = "Water Campaign, 1 Mill Lane, Leeds"\n'
    campaign.write("petition.toml", settings + WAYS)
    campaign.write("letters/news.md", BULK)
    campaign.write("supporters.csv", SUPPORTERS)
    return campaign


def kept(campaign: SmallCampaign) -> dict[str, EmailMessage]:
    """What the sandbox kept, by the address in To."""
    found = {}
    for path in (campaign.root / "outbox/new").iterdir():
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        found[letter["To"].addresses[0].addr_spec] = letter
    return found
