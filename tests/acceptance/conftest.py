from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.small import SmallCampaign
from tests.servers.windows import Windows, running_windows


@pytest.fixture
def campaign(tmp_path: Path) -> SmallCampaign:
    """A small campaign without a mail server: the sandbox."""
    return SmallCampaign.at(tmp_path)


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Windows]:
    """A Windows for the tests of a process."""
    with running_windows(tmp_path_factory.mktemp("windows")) as windows:
        yield windows
