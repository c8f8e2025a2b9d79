"""A worker opens no path that stands in a database."""

from pathlib import Path

import pytest

from petition.merge.nothing import NoFiles
from petition.merge.refusals import CellRefused


def test_no_file_is_read_and_none_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.pdf").write_bytes(b"%PDF-1.4")
    files = NoFiles()
    assert not files.has("plan.pdf")
    with pytest.raises(CellRefused, match="a worker opens no files"):
        files.read("plan.pdf")
