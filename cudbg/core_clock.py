"""The core clock that a dump's times were computed with, and the one to believe.

Before the driver has asked the firmware, it computes with a preset of 50 MHz (t4_prep_adapter()).
A crash kernel's dump is made then. The firmware's log in the same dump may tell the real clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.device_log import ToldClock, told_clock
from vmcoredd.cudbg.driver_state import PRESET_KHZ, driver_khz, driver_state

EXPLAINED_BY = ("CLK", "DEV_LOG", "TID_INFO")
"""The entities that `core_clock` looks into."""


@dataclass(frozen=True)
class CoreClock:
    """Two clocks in kHz: the driver's, and the one to believe. 0 is unknown."""

    driver_khz: int
    told: ToldClock | None
    """The firmware's, if the driver's is the preset and the log tells it."""
    is_preset: bool
    """Whether the driver computed with its preset, not with what the firmware had told it."""

    @property
    def khz(self) -> int:
        """The clock to believe."""
        return self.told.khz if self.is_preset and self.told else self.driver_khz

    @property
    def is_corrected(self) -> bool:
        """Whether the driver's times are not to be believed, and the right clock is known."""
        return self.khz != self.driver_khz

    @property
    def is_unknown(self) -> bool:
        """Whether nothing in the dump tells the clock."""
        return not self.driver_khz or (self.is_preset and self.told is None)

    @property
    def source(self) -> str:
        """Who tells the clock to believe."""
        if not self.is_preset:
            return "as the driver knew it" if self.driver_khz else "UNKNOWN: CLK does not tell it"
        if self.told is None:
            return "NOT MEASURED: the driver's preset, on which all times here depend"
        return f"told by the firmware's log, DEV_LOG record {self.told.seqno}"


def core_clock(others: Mapping[str, Bytes]) -> CoreClock:
    """Judges the clock that the driver used; `others` are the bytes of EXPLAINED_BY."""
    attached, log = driver_state(others).had_attached, others.get("DEV_LOG")
    used = driver_khz(others.get("CLK")) or (0 if attached else PRESET_KHZ)
    preset = used == PRESET_KHZ and not attached
    return CoreClock(used, told_clock(log) if preset and log is not None else None, preset)
