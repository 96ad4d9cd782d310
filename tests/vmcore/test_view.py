"""The size of a file, also where its inode tells one that is too small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmcoredd.vmcore.view import end_of


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 100_001])
def test_the_end_of_a_file_is_that_of_its_inode(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    with path.open("rb") as file:
        assert end_of(file.fileno()) == size


def test_the_end_is_found_by_reading_where_the_inode_tells_too_little() -> None:
    """As in /proc/vmcore when a dump was added, the inode of this file keeps the size it had."""
    with open("/proc/self/cmdline", "rb", buffering=0) as file:
        assert os.fstat(file.fileno()).st_size == 0
        assert end_of(file.fileno()) == len(file.read()) > 0
