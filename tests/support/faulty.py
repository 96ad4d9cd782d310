"""Vmcores of emulated cards with faults, made in this process."""

from __future__ import annotations

from pathlib import Path

from carddump import collect, small

from vmcoredd import vmcore
from vmcoredd.chip import T6, Chip

SIZE = 8 << 20


def faulty(path: Path, *faults: str, chip: Chip = T6, name: str = "cxgb4_0000:00:02.0") -> Path:
    """A vmcore with one dump of a card with little memory and these faults."""
    dump = collect(small(chip, *faults), size=SIZE)

    def fill(payload: memoryview) -> None:
        payload[:] = dump.data

    dumps = vmcore.DeviceDumps()
    dumps.add_device_dump(name, SIZE, fill)
    vmcore.write(path, dumps)
    return path
