"""Files and memory: writing a vmcore, listing its notes, decoding a dump, dumping."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vmcoredd import cudbg, emu, vmcore
from vmcoredd.bench.dumps import buffer
from vmcoredd.bench.measure import Row, Run, Series, Target, interleave, timed
from vmcoredd.bench.processes import CardServer, serving, vmcoredd
from vmcoredd.driver import dump_name, open_card

GROUP = "files and memory"
MIB = 1 << 20
QUICK_MIB, FULL_MIB = 1024, 4096
PAGE = 4096
NOTES_MIB = 64
"""Target for the peak memory of `vmcoredd notes`."""
SPARE_MIB = 48
"""Target for the peak memory of `vmcoredd dump`, note buffers excluded."""
WITHIN = Target(1.0, at_least=False)
AS_CP = Target(1.2, at_least=False)


def measure(rounds: int, *, full: bool) -> Iterator[Row]:
    """Measures files and memory. Needs three times the base file's size in the current folder."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=".") as name:
        folder = Path(name)
        yield from _writing(folder, rounds, FULL_MIB if full else QUICK_MIB)
    with tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as name:
        yield from _decoding(rounds)
        yield from _memory(Path(name) / "vmcore", rounds)


def _writing(folder: Path, rounds: int, mib: int) -> Iterator[Row]:
    base, target, copy = folder / "base", folder / "vmcore", folder / "copy"
    write_base(base, mib)
    with open_card(emu.Card.load("t62100-cr")) as adapter:
        context = vmcore.ElfCore.open(base)
        dumps = vmcore.DeviceDumps(context)
        dumps.add_device_dump(dump_name("0000:00:02.0"), *adapter.device_dump())

    def write() -> float:
        target.unlink(missing_ok=True)
        return timed(lambda: vmcore.write(target, dumps, base=context))

    def cp() -> float:
        copy.unlink(missing_ok=True)
        return timed(lambda: subprocess.run(["cp", base, copy], check=True))

    took = interleave({"write": write, "cp": cp}, rounds)
    copy.unlink()
    base.unlink()
    small = folder / "small"
    vmcore.write(small, dumps)
    what, against = f"write, base of {mib / 1024:g} GiB", f"cp of it, {took['cp'].median:.2f} s"
    yield Row(GROUP, what, took["write"], "s", took["write"].over(took["cp"]), against, AS_CP)
    dumps.close()
    yield from _notes(target, small, rounds, mib)


def _notes(large: Path, small: Path, rounds: int, mib: int) -> Iterator[Row]:
    peaks: list[float] = []

    def large_notes() -> float:
        ran = vmcoredd("notes", str(large))
        peaks.append(ran.peak / MIB)
        return ran.seconds

    runs: dict[str, Run] = {
        "large": large_notes,
        "small": lambda: vmcoredd("notes", str(small)).seconds,
    }
    took = interleave(runs, rounds)
    what, against = f"notes of {mib / 1024:g} GiB", f"of 32 MiB, {took['small'].median:.2f} s"
    yield Row(GROUP, what, took["large"], "s", took["large"].over(took["small"]), against, AS_CP)
    peak = Series(tuple(peaks))
    ratio, limit = peak.scaled(1 / NOTES_MIB), f"{NOTES_MIB} MiB"
    yield Row(GROUP, f"{what}: peak", peak, "MiB", ratio, limit, WITHIN)


def _decoding(rounds: int) -> Iterator[Row]:
    """Decodes every row of every entity, against collecting them in process."""
    raw = buffer()
    with open_card(emu.Card.load("t62100-cr")) as adapter:
        runs: dict[str, Run] = {
            "collect": lambda: adapter.collect(raw, compress="none").seconds,
            "decode": lambda: timed(lambda: decode_all(raw)),
        }
        took = interleave(runs, rounds)
    against = f"collecting it in process, {took['collect'].median:.2f} s"
    ratio = took["decode"].over(took["collect"])
    yield Row(GROUP, "decode a whole dump", took["decode"], "s", ratio, against)


def decode_all(raw: memoryview) -> int:
    """Decodes a whole dump to the form of `--json` and returns the number of parts."""
    made = cudbg.Dump(raw)
    return sum(len(made.decode(entity.name).json()) for entity in made.entities if entity.good)


def _memory(output: Path, rounds: int) -> Iterator[Row]:
    """Measures the peak memory of `vmcoredd dump` over a socket, note buffer excluded."""
    note = (cudbg.DUMP_SIZE + PAGE) / MIB
    with serving(CardServer(overrides={"memory": {"mc0": 24}})) as path:
        for compress in ("none", "zlib"):
            arguments = ("dump", "--socket", str(path), "-o", str(output), "--force")
            ran = [vmcoredd(*arguments, "--compress", compress) for _ in range(rounds)]
            peak = Series(tuple(one.peak / MIB - note for one in ran))
            what = f"peak of a dump over the socket, {compress}, less its note buffer"
            ratio = peak.scaled(1 / SPARE_MIB)
            yield Row(GROUP, what, peak, "MiB", ratio, f"{SPARE_MIB} MiB", WITHIN)


def write_base(path: Path, mib: int) -> None:
    """Writes a vmcore with one segment of `mib` MiB and no holes."""
    note = struct.pack("<III8s", 5, 0, 1, b"CORE")
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    notes = struct.pack("<IIQQQQQQ", 4, 0, PAGE, 0, 0, len(note), len(note), 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, 2 * PAGE, 0, 0, mib * MIB, mib * MIB, 0)
    block = os.urandom(MIB)
    with path.open("wb") as file:
        file.write((header + notes + load).ljust(PAGE, b"\0"))
        file.write(note.ljust(PAGE, b"\0"))
        for _ in range(mib):
            file.write(block)
