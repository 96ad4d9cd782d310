"""The command's output, as readelf(1) reads it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from readers import readelf

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
SOME_ACCESSES = 40_000
"""More than the device log takes, and fewer than a whole dump."""


def vmcoredd(*arguments: object) -> int:
    command = [sys.executable, "-m", "vmcoredd", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


@contextmanager
def dying(path: Path) -> Iterator[None]:
    """A server that dies in the middle of a dump."""
    command = [sys.executable, "-m", "tests.support.dying_server", str(path), str(SOME_ACCESSES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            server.kill()


def test_readelf_reads_the_vmcore_of_a_killed_server(tmp_path: Path) -> None:
    output = tmp_path / "vmcore"
    with dying(tmp_path / "sock"):
        assert vmcoredd("dump", "--socket", tmp_path / "sock", "-o", output) == 5
    lines = [line.split() for line in readelf(output, "-n")]
    notes = [words[:2] for words in lines if words[:1] in (["LINUX"], ["CORE"])]
    assert notes[0] == ["LINUX", "0x02000fec"]
    assert ["CORE", "0x00000150"] in notes
    assert "CORE" in readelf(output, "-h")[7]
