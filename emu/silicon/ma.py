"""MA: which memories there are, and where."""

from __future__ import annotations

from chip import Field, Register
from emu.memory import MIB
from emu.silicon.model import Model, fault

ENABLE_BITS = {
    "edc0": ("EDRAM0_ENABLE",),
    "edc1": ("EDRAM1_ENABLE",),
    "mc0": ("EXT_MEM0_ENABLE",),
    "mc1": ("EXT_MEM1_ENABLE",),
    "hma": ("HMA_MUX",),
}
"""Of MA_TARGET_MEM_ENABLE, as the driver asks for them (cudbg_lib.c, cudbg_fill_meminfo())."""
BAR_AT = {
    "edc0": "MA_EDRAM0_BAR",
    "edc1": "MA_EDRAM1_BAR",
    "mc0": "MA_EXT_MEMORY0_BAR",
    "mc1": "MA_EXT_MEMORY1_BAR",
    "hma": "MA_EXT_MEMORY1_BAR",
}


class MemoryArbiter(Model):
    """Enable bits, bases and sizes of the memories; both in MiB."""

    def wire(self) -> None:
        enable = 0
        for memory in self.memories:
            enable |= self.r.MA_TARGET_MEM_ENABLE.mask(*ENABLE_BITS[memory.name])
            register = self.r[BAR_AT[memory.name]]
            base, size = _base_and_size(register)
            word = base.put(memory.base // MIB) | size.put(memory.size // MIB)
            self.words.plain(register, word)
        self.words.plain(self.r.MA_TARGET_MEM_ENABLE, enable)

    def _disable(self, name: str) -> None:
        register = self.r.MA_TARGET_MEM_ENABLE
        self.words.set(register, self.words.get(register) & ~register.mask(*ENABLE_BITS[name]))

    @fault("no-memory", "No memory is enabled: MEMINFO, DUMP_CONTEXT and all memories fail.")
    def disable_all(self) -> None:
        self.words.set(self.r.MA_TARGET_MEM_ENABLE, 0)

    @fault("no-edc1", "EDC1 is not enabled: the entity fails with -24.")
    def disable_edc1(self) -> None:
        self._disable("edc1")

    @fault("no-mc0", "MC0 is not enabled: the entity fails with -24.")
    def disable_mc0(self) -> None:
        self._disable("mc0")


def _base_and_size(register: Register) -> tuple[Field, Field]:
    """Their names differ from register to register; the base is the higher."""
    base, size = sorted(register.fields, key=lambda field: -field.shift)
    return base, size
