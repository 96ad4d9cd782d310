"""EDC and MC, the controllers of the embedded and of the external memories: ECC errors.

The controller counts errors by kind, and keeps the address and the data of the last one: an MC of
each kind.
"""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.chip.devlog import Facility, Level
from vmcoredd.emu.silicon.model import Model, fault

MEMORIES = ("edc0", "edc1", "mc0", "mc1")
LINE_BYTES = 64
"""Data of one ECC word group, of which a register for the data shows as much as it has words."""
CORRECTED = 37
"""Correctable errors so far."""
TWO_BITS, ONE_BIT = 0x0000_8001, 0x0000_0800
"""The bits that an uncorrectable error inverts, and a correctable one."""


class MemoryControllers(Model):
    """Causes, counts, address and data of errors."""

    @fault(
        "ecc-uncorrectable-{}",
        "{upper} met an uncorrectable ECC error: cause, count, address and data.",
        each=MEMORIES,
        reports=True,
    )
    def lose_data(self, memory: str) -> None:
        self._report(memory, "ECC_UE_INT_CAUSE")
        self._status(memory, ECC_UECNT=1)
        address = self._address(memory, "UE", TWO_BITS)
        text = f"{memory.upper()}: uncorrectable ECC error at 0x%08x"
        self.firmware.tell((Level.CRIT, Facility.HW, text, address))

    @fault(
        "ecc-correctable-{}",
        "{upper} has corrected ECC errors: cause and count, address and data of the last.",
        each=MEMORIES,
        reports=True,
    )
    def correct_data(self, memory: str) -> None:
        self._report(memory, "ECC_CE_INT_CAUSE")
        self._status(memory, ECC_CECNT=CORRECTED)
        address = self._address(memory, "CE", ONE_BIT)
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

    def _of(self, memory: str, edc: str, mc: str) -> Register:
        """Returns a memory's own register: those of the second EDC or MC have the same names."""
        return self.r.instances(edc if memory.startswith("edc") else mc)[int(memory[-1])]

    def _report(self, memory: str, cause: str) -> None:
        if memory not in self.memories:
            raise self.refuse(memory.upper())
        self.interrupt(memory.upper(), self._of(memory, "EDC_H_INT_CAUSE", "MC_P_INT_CAUSE"), cause)

    def _status(self, memory: str, **counts: int) -> None:
        self.spaces.put(self._of(memory, "EDC_H_ECC_STATUS", "MC_P_ECC_STATUS"), **counts)

    def _address(self, memory: str, kind: str, inverted: int) -> int:
        """Chooses a line and returns its address in the card's memory map.

        The registers show its offset in the memory (assumed: no source gives the unit), and its
        data: as read, or as an EDC corrected them.
        """
        found = self.memories[memory]
        offset = self.scenario.random(f"ecc {memory}").randrange(0, found.size, LINE_BYTES)
        self.spaces.set(self._of(memory, "EDC_H_ECC_ERR_ADDR", f"MC_{kind}_ADDR"), offset)
        shown = self._of(memory, "EDC_H_ECC_ERR_DATA_RDATA", f"MC_{kind}_ERR_DATA_RDATA")
        data = memoryview(self.memories.read(found.base + offset, LINE_BYTES)).cast("I")
        corrected = kind == "CE" and memory.startswith("edc")
        wrong = data[0] if corrected else data[0] ^ inverted
        self.spaces.set_all(shown, (wrong, *data[1 : shown.count]))
        return found.base + offset
