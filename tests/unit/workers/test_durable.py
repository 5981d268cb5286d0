"""What is brought to the disk: files and folders alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptflow_workers.durable import flush


def test_files_and_folders_can_be_flushed_and_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    flush(tmp_path / "file")
    flush(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "absent")
