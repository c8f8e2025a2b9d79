"""A provider that asks for it is slowed down alone; a server's limit of letters is learned."""

import asyncio
from pathlib import Path

from petition.campaign.settings import Pace as PaceSettings
from tests.integration.scene import Scene
from tests.servers.counting import counting_server


def run(scene: Scene, server):
    return asyncio.run(scene.run(server, dot_seconds=5))


def list_people(scene: Scene, *addresses: str) -> None:
    rows = "".join(f"{address},{address.partition('@')[0]},\n" for address in addresses)
    scene.campaign.write("recipients.csv", "email,name,town\n" + rows)


def test_a_provider_that_asks_for_it_is_slowed_down_alone(tmp_path: Path):
    scene = Scene(tmp_path, timeout=5)
    list_people(scene, "a@slow.test", "b@slow.test", *(f"p{n}@fast.test" for n in range(30)))
    with counting_server(answers={"a": "450 4.7.1 Not so fast"}) as server:
        run(scene, server)
        # One that asked waits; those to others went past it, and then it went too.
        assert list(server.accepted)[-1] == "b@slow.test"
        assert len(server.accepted) == 31
        assert scene.states == ["deferred"] + ["sent"] * 31


def test_a_rate_of_one_domain_lets_the_others_pass(tmp_path: Path):
    scene = Scene(tmp_path, timeout=5)
    scene.pace = PaceSettings(per_domain={"slow.test": "2/s"})
    list_people(
        scene, "a@slow.test", "b@slow.test", "c@slow.test", *(f"p{n}@fast.test" for n in range(30))
    )
    with counting_server() as server:
        run(scene, server)
        order = [address for address in server.accepted if address.endswith("slow.test")]
        assert next(iter(server.accepted)) == "a@slow.test"
        assert list(server.accepted)[-1] == order[-1] == "c@slow.test"
        assert scene.states == ["sent"] * 33


def test_a_server_s_limit_of_letters_on_a_connection_is_learned(tmp_path: Path):
    scene = Scene(tmp_path, people=15, timeout=5)
    with counting_server() as server:
        server.most = 3
        run(scene, server)
        assert scene.states == ["sent"] * 15
        assert [copy.attempts for copy in scene.copies()] == [1] * 15
        # Twice the server said so; from then on we said goodbye before it.
        assert server.commands["EHLO"] == 5
        assert server.commands["QUIT"] == 3
