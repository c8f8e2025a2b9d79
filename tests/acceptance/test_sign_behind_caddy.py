"""petition serve behind Caddy: a path before it, TLS, and who is believed."""

import re
import socket
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from tests import PATIENCE
from tests.servers.authority import Authority
from tests.servers.caddy import running_caddy
from tests.servers.endpoint import give_token, running_endpoint
from tests.servers.signatory import ANN, AT_ONCE, Page, link_for, sign, signing_campaign

DOCUMENT = Path(__file__).parents[2] / "docs" / "signing.md"
FEW = """
from petition.web import limits
few = limits.Allowance(2, 1)
limits.FormLimits.__init__.__defaults__ = (few, limits.FOR_ALL, limits.time.monotonic)
"""


def sites(port: str) -> list[str]:
    """What stands in the braces of each Caddyfile of the document, with another port."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(
        r"^[\w.]+ \{\n((?:    .*\n)*?[^}]*?.*?)^\}\n", text, re.MULTILINE | re.DOTALL
    )
    caddy = [one for one in found if "reverse_proxy" in one]
    assert len(caddy) == 2
    return [one.replace("127.0.0.1:8058", f"127.0.0.1:{port}") for one in caddy]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.component("caddy", "openssl")
def test_the_pages_are_reached_under_a_path_and_a_stranger_is_not_believed(tmp_path: Path):
    campaign = signing_campaign(tmp_path / "campaign")
    campaign.petition("send", "open-letter", status=0)
    folder, port = tmp_path / "caddy", free_port()
    folder.mkdir()
    authority = Authority(folder)

    def fetch(url: str, cells: dict[str, str] | None = None, **headers: str) -> Page:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = urlencode(cells).encode() if cells is not None else None
        asked = urllib.request.Request(url, data, named)
        try:
            answer = urllib.request.urlopen(asked, timeout=PATIENCE, context=authority.trust())
        except HTTPError as refused:
            answer = refused
        with answer:
            page = Page(answer.status, answer.headers, answer.read().decode())
        page.form.feed(page.text)
        return page

    def try_to_sign(address: str, number: int) -> int:
        form = fetch(f"{site}/sign").form.fields
        cells = form | ANN | {"email": f"a{number}@mail.example"}
        return fetch(f"{site}/sign", cells, X_Forwarded_For=address).status

    options = ("--sign", "--site", "--root-path", "/water", "--proxy", "127.0.0.1")
    with running_endpoint(campaign, *options, before=AT_ONCE + FEW) as (base, _):
        behind = base.removesuffix("/water").rpartition(":")[2]
        with running_caddy(folder, port, sites(behind)[1], authority):
            site = f"https://localhost:{port}/water"
            assert "petition" in fetch(f"{site}/").text
            assert fetch(f"https://localhost:{port}/water").status == 200  # by a redirect
            token = give_token(campaign.root, "p1@x.example")
            assert fetch(f"{site}/u/{token}").status == 200
            # Whatever a stranger says of where it comes from, Caddy says what it sees.
            assert [try_to_sign(f"192.0.{one}.1", one) for one in range(3)] == [200, 200, 429]
            link = link_for(campaign, site, "a0@mail.example")
            assert fetch(link, fetch(link).form.fields).status == 200
        # Behind one web server, another network still may sign.
        assert sign(base, X_Forwarded_For="198.51.100.1").status == 200


@pytest.mark.component("caddy")
def test_the_first_example_of_the_document_is_right(tmp_path: Path):
    campaign = signing_campaign(tmp_path / "campaign")
    (folder := tmp_path / "caddy").mkdir()
    authority, port = Authority(folder), free_port()
    with ExitStack() as running:
        serve = ("--sign", "--proxy", "127.0.0.1")
        base, _ = running.enter_context(running_endpoint(campaign, *serve))
        example = sites(base.rpartition(":")[2])[0]
        running.enter_context(running_caddy(folder, port, example, authority))
        url, context = f"https://localhost:{port}/sign", authority.trust()
        with urllib.request.urlopen(url, timeout=PATIENCE, context=context) as answer:
            assert "<form" in answer.read().decode()
