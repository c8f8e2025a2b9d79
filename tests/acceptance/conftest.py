from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign
from tests.servers.counting import CountingServer, counting_server
from tests.servers.windows import Windows, running_windows


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    """A small campaign without a mail server: the sandbox."""
    return SmallCampaign.at(tmp_path)


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """A mail server that accepts every letter, and counts those to each mailbox."""
    with counting_server() as server:
        yield server


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Windows]:
    """A Windows for the tests of a process."""
    with running_windows(tmp_path_factory.mktemp("windows")) as windows:
        yield windows
