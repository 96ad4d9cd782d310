"""Which faults are tried on which card, and when: at the probe, when an interface comes up, with
traffic, in a dump of the kernel's driver, and with our own driver."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vmcoredd import emu
from vmcoredd.emu.silicon.model import fault_name

KERNEL = os.environ.get("VMCOREDD_STOCK_KERNEL", "debian:6.12")
CARDS = {"T6": "t62100-cr", "T5": "t520-cr"}
REPORTING = "T6"
"""The chip on whose card the faults are tried that only report something."""
MEMORY = {"edc0": 1, "edc1": 1, "mc0": 1}
"""MiB: the smallest memories with which a card loses no entity of a dump."""
HEALTHY = ""
"""The fault of a case without one."""


class Phase(StrEnum):
    """When a fault comes."""

    PROBE = "probe"
    OPEN = "open"
    TRAFFIC = "traffic"
    DUMP = "dump"
    OURS = "ours"
    """Before our own driver's probe and dump, without a guest."""


CHOSEN = (
    ("device-gone", Phase.PROBE),
    ("firmware-error", Phase.PROBE),
    ("flash-hangs", Phase.PROBE),
    ("mailbox-taken", Phase.OPEN),
    ("cim-host-busy", Phase.TRAFFIC),
    ("link-down-port0", Phase.TRAFFIC),
    ("parity-cim", Phase.TRAFFIC),
    ("no-edc1", Phase.DUMP),
)
"""Those that `make test` measures once more, on both cards: of the bus, the firmware, the flash, a
debug interface, a link, parity, and a memory; harmless ones too."""
IN_GUEST = (Phase.PROBE, Phase.OPEN, Phase.TRAFFIC, Phase.DUMP)


@dataclass(frozen=True)
class Case:
    """A fault, as `--fault` takes it, on the card of a chip, in a phase."""

    chip: str
    fault: str
    phase: Phase

    def __str__(self) -> str:
        return f"{self.chip} {self.fault or 'healthy'} {self.phase}"


def card(chip: str, **options: Any) -> emu.Card:
    """Returns the chip's card with little memory."""
    return emu.Card.load(CARDS[chip], memory=MEMORY, **options)


def cases(chip: str, ours: Mapping[str, str]) -> Iterator[Case]:
    """Yields the chip's cases in a guest; `ours` has what our own driver met, by the fault.

    A dump takes a minute: it is tried where our own driver's is not complete. A fault that only
    reports something answers every access as a healthy card does: a driver finds it there when it
    comes, or meets it as an interrupt. Those are tried on one card, as the driver takes both
    chips' alike; so are those of the server, which our own driver has not in this process.
    """
    served = {fault.example: "" for fault in emu.faults().values() if fault.served}
    for fault, outcome in (served | {**ours}).items():
        for phase in IN_GUEST:
            if not fault or _is_tried(emu.faults()[fault_name(fault)], chip, phase, outcome):
                yield Case(chip, fault, phase)


def _is_tried(fault: emu.Fault, chip: str, phase: Phase, outcome: str) -> bool:
    if (fault.name, phase) in CHOSEN:
        return True
    if fault.served:
        return phase is Phase.TRAFFIC and chip == REPORTING
    if fault.reports:
        return phase in (Phase.PROBE, Phase.TRAFFIC) and chip == REPORTING
    return phase is not Phase.DUMP or outcome != "complete"
