"""What came of a step in a guest, as a short fact that a second try gives too."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmcoredd import cudbg

from . import ours
from .cases import Phase

REQUESTS = 10
"""Of ping(8), in `steps.sh`."""
USUAL = {
    Phase.PROBE: "bound",
    Phase.OPEN: "up",
    Phase.TRAFFIC: "flows",
    Phase.DUMP: ours.COMPLETE,
}
"""What comes of each phase with a healthy card."""
ERRNOS = {os.strerror(number): name for number, name in errno.errorcode.items()}
ABSENT = {"T6": {"MC1", "HMA"}, "T5": {"MC1", "HMA", "MA_INDIRECT", "HMA_INDIRECT"}}
"""Entities that the chip's card has not."""


@dataclass(frozen=True)
class Said:
    """What a step printed: its values by name, and the kernel's log."""

    values: dict[str, str]
    log: str

    @classmethod
    def parsed(cls, output: str) -> Said:
        """Reads what `steps.sh` prints."""
        values, _, log = output.partition("log:\n")
        pairs = (line.partition("=") for line in values.splitlines() if "=" in line)
        return cls({name: value for name, _, value in pairs}, log)

    def ok(self, name: str) -> bool:
        """Returns whether a command succeeded."""
        return self.values.get(name) == "ok"

    def error(self, name: str) -> str:
        """Returns the errno of a command that failed, or what it complained of."""
        value = self.values.get(name, "not done")
        return ERRNOS.get(value, value)

    @property
    def has_carrier(self) -> bool:
        """Returns whether the interface has a carrier."""
        return self.values.get("carrier") == "1"


def bound(said: Said) -> str:
    """What came of a probe."""
    if not said.ok("bind"):
        return said.error("bind")
    return "bound" if said.values["interfaces"] != "0" else "bound, without an interface"


def opened(said: Said) -> str:
    """What came of an interface that was to come up."""
    if not said.ok("open"):
        return said.error("open")
    return "up" if said.has_carrier else "up, no carrier"


def flowed(said: Said) -> str:
    """What came of traffic."""
    answered = int(said.values.get("answered") or 0)
    some = "frames are lost" if answered else "stops"
    flow = "flows" if answered == REQUESTS else some
    return flow if said.has_carrier else f"{flow}, no carrier"


def dumped(said: Said, chip: str, dump: Path) -> str:
    """What came of a dump, which the kernel wrote to a file."""
    failed = [name for name in ("flag", "dump") if not said.ok(name)]
    if failed:
        return said.error(failed[0])
    lost = ours.lost(cudbg.Dump(dump.read_bytes()).entities)
    return ours.told({name: why for name, why in lost.items() if name not in ABSENT[chip]})


STEPS: dict[Phase, tuple[str, Callable[[Said], str]]] = {
    Phase.PROBE: ("bind", bound),
    Phase.OPEN: ("open", opened),
    Phase.TRAFFIC: ("traffic", flowed),
}
"""The step of `steps.sh` for each phase but the dump, and what came of it."""
