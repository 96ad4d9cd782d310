"""Damaged and hostile dumps without a vmcore, and flattened vmcores, through the library.

Opened, listed, and every small entity decoded: only the rooms' own errors, in bounded time and
memory. A case takes milliseconds, so that many thousands can be run.
"""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from pathlib import Path
from random import Random

from tests.fuzz import vmcores
from tests.fuzz.case import Broken, Case
from tests.fuzz.parts.files import limited_memory
from tests.fuzz.small_card import profile
from tests.support import fastlz_dumps
from tests.support.unknown_dumps import with_entity
from tests.support.vmcore_files import flattened
from vmcoredd import cudbg, diagnosis, vmcore
from vmcoredd.cudbg import CudbgError
from vmcoredd.cudbg.decoded import Hexdump, Table, Text
from vmcoredd.vmcore import VmcoreError

KINDS = ("zlib", "none", "ethtool", "FastLZ", "vendor", "flattened elf64", "flattened kdump64")
SECONDS = 10.0
"""Of processor time for one case."""
SMALL = 20_000
"""Bytes of an entity that is decoded in every case; larger ones in one of ten."""
SOME_ROWS = 200
FOREIGN = {
    23: bytes(96),
    24: bytes(40),
    28: bytes(172),
    32: bytes(64),
    34: bytes(72),
    42: bytes(8 + 2 * 176),
    53: bytes(72),
    63: struct.pack("<IIII36x", 27, 52, 8, 0) + bytes(8),
}
"""Entities that Linux does not collect."""


def make(random: Random) -> Case:
    """A case: a kind of container, how it is spoiled, and what is done with it."""
    return {
        "kind": random.choice(KINDS),
        "edits": vmcores.edits(random),
        "mended": random.random() < 0.5,
        "everything": random.random() < 0.1,
    }


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Makes the intact containers once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._intact = _containers(vmcores.dumps(profile(folder), folder))

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, case: Case) -> None:
        """Reads the container of a case."""
        data = vmcores.spoiled(self._intact[case["kind"]], case["edits"])
        path = self._folder / "container"
        path.write_bytes(mended(data) if case["mended"] else data)
        begin = time.process_time()
        with limited_memory():
            _read(path, everything=case["everything"])
        if (took := time.process_time() - begin) > SECONDS:
            raise Broken(f"took {took:.1f} s")


def _containers(payloads: dict[str, bytes]) -> dict[str, bytes]:
    dump = cudbg.Dump(payloads["none"])
    raw = {entity.number: dump.raw(entity.name) for entity in dump.entities if entity.good}
    ethtool = payloads["zlib"]
    for number in (71, *FOREIGN):
        ethtool = with_entity(ethtool, number, FOREIGN.get(number, bytes(5000)))
    kinds = {
        "zlib": payloads["zlib"],
        "none": payloads["none"],
        "ethtool": ethtool,
        "FastLZ": fastlz_dumps.dump(raw | FOREIGN),
        "vendor": fastlz_dumps.dump(raw | FOREIGN | {71: b"module", 80: b"queue"}, 0x60, 89, 1000),
    }
    for shape in ("elf64", "kdump64"):
        whole = vmcores.whole(shape, payloads["zlib"][:20_000])
        records = [(at, whole[at : at + 3000]) for at in range(0, len(whole), 3000)]
        kinds[f"flattened {shape}"] = flattened([*records[::-1], (0, whole[:512])])
    return kinds


def mended(data: bytes) -> bytes:
    """Makes the checksums of FastLZ's chunks right, so that what was spoiled is decompressed."""
    made, at = bytearray(data), 0
    while (at := data.find(fastlz_dumps.MAGIC, at) + len(fastlz_dumps.MAGIC)) >= 8:
        while at + 16 <= len(made):
            number, _, size = struct.unpack_from("<HHI", made, at)
            if number not in (1, 17) or at + 16 + size > len(made):
                break
            checksum = zlib.adler32(made[at + 16 : at + 16 + size])
            struct.pack_into("<I", made, at + 8, checksum)
            at += 16 + size
    return bytes(made)


def _read(path: Path, *, everything: bool) -> None:
    with (
        contextlib.suppress(VmcoreError),
        vmcore.Reader(path, is_payload=cudbg.is_dump) as reader,
    ):
        for note in reader.device_dumps[:4]:
            with contextlib.suppress(VmcoreError, CudbgError):
                _show(cudbg.Dump(reader.payload(note.index, partial=True)), everything=everything)


def _show(dump: cudbg.Dump, *, everything: bool) -> None:
    for entity in dump.entities:
        str(entity.status)
        with contextlib.suppress(CudbgError):
            if entity.good and (everything or dump.size(entity.name) <= SMALL):
                _walk(dump.decode(entity.name))
    if everything:
        diagnosis.diagnose(dump).json()


def _walk(decoded: cudbg.Decoded) -> None:
    for part in decoded:
        if isinstance(part, Table | Text):
            rows = part.rows if isinstance(part, Table) else part.lines
            for _ in zip(rows, range(SOME_ROWS), strict=False):
                pass
        elif isinstance(part, Hexdump):
            part.data[0:64]
