"""MA: which memories there are, and where."""

from __future__ import annotations

from vmcoredd.chip.memory import MEGABYTE
from vmcoredd.emu.silicon.model import Model, fault


class MemoryArbiter(Model):
    """Enable bits, bases and sizes of the memories; both in MiB."""

    def wire(self) -> None:
        register = self.r.MA_TARGET_MEM_ENABLE
        self.words.plain(register, register.mask(*(m.type.enable for m in self.memories)))
        for memory in self.memories:
            bar, kind = self.r[memory.type.bar], memory.type
            base, size = memory.base // MEGABYTE, memory.size // MEGABYTE
            self.words.plain(bar, bar.of(**{kind.base: base, kind.size: size}))

    def _disable(self, name: str) -> None:
        if name in self.memories:
            register = self.r.MA_TARGET_MEM_ENABLE
            gone = register.mask(self.memories[name].type.enable)
            self.words.set(register, self.words.get(register) & ~gone)

    @fault("no-memory", "No memory is enabled: MEMINFO, DUMP_CONTEXT and all memories fail.")
    def disable_all(self) -> None:
        self.words.set(self.r.MA_TARGET_MEM_ENABLE, 0)

    @fault("no-edc1", "EDC1 is not enabled: the entity fails with -24.")
    def disable_edc1(self) -> None:
        self._disable("edc1")

    @fault("no-mc0", "MC0 is not enabled: the entity fails with -24.")
    def disable_mc0(self) -> None:
        self._disable("mc0")
