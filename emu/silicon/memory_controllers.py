"""EDC and MC, the controllers of the embedded and of the external memories: ECC errors.

The controller counts errors by kind; an EDC also keeps the address and the data of the last one.
"""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.devlog import Facility, Level
from vmcoredd.emu.silicon.model import Model, fault

MEMORIES = ("edc0", "edc1", "mc0", "mc1")
LINE_BYTES = 64
"""Data of one ECC word group, which EDC_H_ECC_ERR_DATA_RDATA shows."""
CORRECTED = 37
"""Correctable errors so far."""
TWO_BITS = 0x0000_8001
"""The bits that an uncorrectable error inverts."""


class MemoryControllers(Model):
    """Causes, counts, address and data of errors."""

    @fault(
        "ecc-uncorrectable-{}",
        "{upper} met an uncorrectable ECC error: cause and count, for an EDC also the address.",
        each=MEMORIES,
        reports=True,
    )
    def lose_data(self, memory: str) -> None:
        self._report(memory, "ECC_UE_INT_CAUSE")
        self._status(memory, ECC_UECNT=1)
        address = self._address(memory, inverted=TWO_BITS)
        text = f"{memory.upper()}: uncorrectable ECC error at 0x%08x"
        self.firmware.tell((Level.CRIT, Facility.HW, text, address))

    @fault(
        "ecc-correctable-{}",
        "{upper} has corrected ECC errors: cause and count, for an EDC also the last address.",
        each=MEMORIES,
        reports=True,
    )
    def correct_data(self, memory: str) -> None:
        self._report(memory, "ECC_CE_INT_CAUSE")
        self._status(memory, ECC_CECNT=CORRECTED)
        address = self._address(memory, inverted=0)
        text = f"{memory.upper()}: %u ECC errors corrected, the last at 0x%08x"
        self.firmware.tell((Level.NOTICE, Facility.HW, text, CORRECTED, address))

    @fault(
        "parity-{}",
        "The FIFO of {upper} has a parity error.",
        each=MEMORIES,
        reports=True,
    )
    def lose_parity(self, memory: str) -> None:
        self._report(memory, "PERR_INT_CAUSE")
        self.spaces.set_bits(self.r.PL_PERR_CAUSE, memory.upper())

    def _of(self, memory: str, register: str) -> Register:
        """Returns a memory's own register: those of the second EDC or MC have the same names."""
        prefix = "EDC_H" if memory.startswith("edc") else "MC_P"
        return self.r.instances(f"{prefix}_{register}")[int(memory[-1])]

    def _report(self, memory: str, cause: str) -> None:
        if memory not in self.memories:
            raise self.refuse(memory.upper())
        self.interrupt(memory.upper(), self._of(memory, "INT_CAUSE"), cause)

    def _status(self, memory: str, **counts: int) -> None:
        self.spaces.put(self._of(memory, "ECC_STATUS"), **counts)

    def _address(self, memory: str, inverted: int) -> int:
        """Chooses a line and returns its address in the card's memory map.

        An EDC shows its offset in the memory (assumed: no source gives the unit), and its data.
        """
        found = self.memories[memory]
        offset = self.scenario.random(f"ecc {memory}").randrange(0, found.size, LINE_BYTES)
        if memory.startswith("edc"):
            self.spaces.set(self._of(memory, "ECC_ERR_ADDR"), offset)
            data = memoryview(self.memories.read(found.base + offset, LINE_BYTES)).cast("I")
            shown = (data[0] ^ inverted, *data[1:])
            self.spaces.set_all(self._of(memory, "ECC_ERR_DATA_RDATA"), shown)
        return found.base + offset
