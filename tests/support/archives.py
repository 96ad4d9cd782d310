"""Small vmcores for archives, and archives made of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from carddump import collect, small
from vmcore_files import Elf, dump_note, pad, vmcoreinfo

from vmcoredd.chip import T6, Chip
from vmcoredd.fleet.archive import Archive, Outcome, add, ask

ENTITIES = ("REG_DUMP", "DEV_LOG", "VPD_DATA")
"""What a small dump has: something for each table."""
SIZE = 1 << 20
NAME = "cxgb4_0000:01:00.4"
OTHER, FOREIGN = "qed_0000:03:00.0", b"QED crash data, version 7\n" + bytes(range(256)) * 16
CRASHTIME = 1_600_000_000


@cache
def payload(chip: Chip = T6, *faults: str, seed: int = 0) -> bytes:
    """The payload of a small dump."""
    return bytes(collect(small(chip, *faults, seed=seed), entities=ENTITIES, size=SIZE).data)


def vmcore(
    path: Path, *dumps: bytes | tuple[str, bytes], info: bytes = b"CRASHTIME=%d\n" % CRASHTIME
) -> Path:
    """Writes a vmcore with these payloads; cxgb4's unless a name is given."""
    named = [one if isinstance(one, tuple) else (NAME, one) for one in dumps]
    notes = [vmcoreinfo(info), *(pad(dump_note(name.encode(), data)) for name, data in named)]
    path.write_bytes(bytes(Elf(notes=[b"".join(notes)])))
    return path


def added(folder: Path, *paths: Path, **options: Any) -> list[Outcome]:
    """Adds files to the archive in `folder`, and returns what came of each."""
    with Archive.made(folder) as archive:
        return list(add(archive, paths, **options))


def asked(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the archive in `folder` answers."""
    with Archive(folder) as archive, ask(archive, sql) as answer:
        return list(answer)


def files(folder: Path) -> Sequence[str]:
    """The names of all files of an archive, with their folders."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def count(folder: Path, table: str = "dumps") -> int:
    """How many rows a table has."""
    ((number,),) = asked(folder, f"select count(*) from {table}")
    return int(number)
