"""Defects of programs that we did not write: docs/upstream/README.md lists them.

    with stands("crash-long-owner", "crash 9.0.2"):
        assert ...    # today's wrong result

A test that fails so is good news: the program's new version behaves in another way. This command
writes the small files that the reports refer to:

    python -m tests.support.findings FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from vmcore_files import Elf, Load, dump_note, kdump, note, prstatus

from vmcoredd import vmcore

PAYLOAD = bytes(range(256)) * 8
NAME = "cxgb4_0000:01:00.4"
LIEF_LIMIT = 1 << 20
FORGED = note(b"GNU", 3, b"invented")
"""A note that is no note: it lies in a device dump, where LIEF goes on after its limit."""


@contextmanager
def stands(finding: str, version: str) -> Iterator[None]:
    """A context with today's wrong result of a finding, for one version of the program.

    What fails in it fails with the name of both, and says what to do.
    """
    try:
        yield
    except (AssertionError, pytest.fail.Exception) as error:
        raise AssertionError(
            f"{finding}: {version} behaves in another way. If it is mended, tell it in "
            f"docs/upstream/README.md, and let this test assert the right result. {error}"
        ) from error


def _written(path: Path, dumps: list[bytes], base: Elf | None = None) -> None:
    """Writes a vmcore with device dumps, by our own writer."""
    if base is None:
        made = vmcore.DeviceDumps(vmcore.ElfCore(vmcore.elf.ELF64, [], []))
    else:
        path.with_suffix(".base").write_bytes(bytes(base))
        made = vmcore.DeviceDumps(vmcore.ElfCore.open(path.with_suffix(".base")))
    for payload in dumps:
        made.add_device_dump(NAME, len(payload), payload_of(payload))
    vmcore.write(path, made, force=True)
    path.with_suffix(".base").unlink(missing_ok=True)


def payload_of(data: bytes) -> Callable[[memoryview], None]:
    """Returns a dump's callback that fills its buffer with `data`."""

    def fill(buffer: memoryview) -> None:
        buffer[: len(data)] = data

    return fill


def _one_dump(path: Path) -> None:
    _written(path, [PAYLOAD])


def _long_dump(path: Path) -> None:
    before = bytes(LIEF_LIMIT - vmcore.elf.VMCOREDD_MAX_NAME_BYTES)
    _written(path, [before + FORGED + PAYLOAD], Elf(notes=[prstatus()]))


def _long_owner(path: Path) -> None:
    notes = note(b"N" * 3000, 5, b"four") + prstatus()
    _written(path, [], Elf(notes=[notes], loads=[Load(0, bytes(4096))]))


def _many_notes(path: Path) -> None:
    path.write_bytes(kdump(note(b"CORE", 1, b"") * 26_000))


def _many_dumps(path: Path) -> None:
    dumps = (dump_note(f"card{number}".encode(), bytes(32)) for number in range(70))
    path.write_bytes(kdump(b"".join(dumps)))


def _short_dump(path: Path) -> None:
    path.write_bytes(kdump(note(b"LINUX\0\0", 0x700, b"")))


FILES: dict[str, Callable[[Path], None]] = {
    "one-dump": _one_dump,
    "long-dump": _long_dump,
    "long-owner": _long_owner,
    "many-notes.kdump": _many_notes,
    "many-dumps.kdump": _many_dumps,
    "short-dump.kdump": _short_dump,
}


def write(folder: Path, name: str) -> Path:
    """Writes a file that a report refers to; returns its path."""
    path = folder / name
    FILES[name](path)
    return path


if __name__ == "__main__":
    for name in FILES:
        print(write(Path(sys.argv[1]), name))
