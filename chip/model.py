"""The two chips as records: a difference is a value here, not an `if` in other code.

Each block of the chip has its own file, with a T5 and a T6 record, and is an attribute here:
`chip.cim.la_words`, `chip.tp.rss_rows`, `chip.memory.types`.
"""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vmcoredd.chip.csvtables import IndirectRange, Range, indirect_ranges, word_ranges
from vmcoredd.chip.table import Registers

if TYPE_CHECKING:
    from vmcoredd.chip.back_pressure import BackPressure
    from vmcoredd.chip.cim import Cim
    from vmcoredd.chip.le import Le
    from vmcoredd.chip.mac import Mac
    from vmcoredd.chip.memory import MemorySystem
    from vmcoredd.chip.messages import Messages
    from vmcoredd.chip.mps import Mps
    from vmcoredd.chip.sge import Sge
    from vmcoredd.chip.tp import Tp

INDIRECT_GROUPS = (
    *("tp_pio", "tp_tm_pio", "tp_mib", "sge_debug", "pcie_pdbg", "pcie_cdbg"),
    *("pm_rx", "pm_tx", "ma", "up_cim", "hma"),
)
"""The groups of `Chip.indirect()`: one, two or three make up an entity."""


class Chip:
    """One of the chips. Names of sizes contain the unit; table sizes are in entries."""

    def __init__(
        self,
        name: str,
        version: int,
        *,
        firmware_code: int,
        max_ports: int,
    ) -> None:
        self.name = name
        """`t5` or `t6`."""
        self.version = version
        """The top nibble of the PCI device id (t4_hw.c, t4_prep_adapter())."""
        self.firmware_code = firmware_code
        """FirmwareHeader.chip of an image for it (t4fw_api.h, enum fw_hdr_chip)."""
        self.max_ports = max_ports
        """MAC ports with a register region."""

    @cached_property
    def r(self) -> Registers:
        """The chip's registers: `chip.r.PL_WHOAMI`."""
        return Registers(self.name)

    def _part(self, module: str) -> Any:
        """Returns the chip's record of a block, imported on first use to speed up the start."""
        return getattr(import_module(f"vmcoredd.chip.{module}"), self.name.upper())

    @cached_property
    def back_pressure(self) -> BackPressure:
        """Where data wait (chip/back_pressure.py)."""
        part: BackPressure = self._part("back_pressure")
        return part

    @cached_property
    def cim(self) -> Cim:
        """The embedded processor (chip/cim.py)."""
        part: Cim = self._part("cim")
        return part

    @cached_property
    def le(self) -> Le:
        """The lookup engine (chip/le.py)."""
        part: Le = self._part("le")
        return part

    @cached_property
    def mac(self) -> Mac:
        """The MACs of the ports (chip/mac.py)."""
        part: Mac = self._part("mac")
        return part

    @cached_property
    def memory(self) -> MemorySystem:
        """Memories and regions (chip/memory.py)."""
        part: MemorySystem = self._part("memory")
        return part

    @cached_property
    def messages(self) -> Messages:
        """Work requests and CPLs (chip/messages.py)."""
        part: Messages = self._part("messages")
        return part

    @cached_property
    def mps(self) -> Mps:
        """The packet switch (chip/mps.py)."""
        part: Mps = self._part("mps")
        return part

    @cached_property
    def sge(self) -> Sge:
        """Queues (chip/sge.py)."""
        part: Sge = self._part("sge")
        return part

    @cached_property
    def tp(self) -> Tp:
        """The transport processor (chip/tp.py)."""
        part: Tp = self._part("tp")
        return part

    def ranges(self, table: str) -> tuple[Range, ...]:
        """Returns the rows of `chip/ranges/<table>` (`reg_dump`, `pcie_config`), in bytes."""
        return word_ranges(table, self.name)

    def indirect(self, group: str) -> tuple[IndirectRange, ...]:
        """Returns the indirect registers of a group, in the order of the dump.

        Empty if the chip has none of them. Raises ValueError for a group that is not one of
        INDIRECT_GROUPS.
        """
        return indirect_ranges(group, self.name)

    def __repr__(self) -> str:
        return self.name.upper()


T5 = Chip(
    "t5",
    5,
    firmware_code=1,
    max_ports=4,
)
T6 = Chip(
    "t6",
    6,
    firmware_code=2,
    max_ports=2,
)
CHIPS = (T5, T6)


def chip_of_device(device_id: int) -> Chip:
    """Returns the chip of a PCI device id, from its top nibble. Raises ValueError for any other."""
    for chip in CHIPS:
        if device_id >> 12 == chip.version:
            return chip
    raise ValueError(f"device id {device_id:#06x}: neither a T5 (0x5xxx) nor a T6 (0x6xxx)")
