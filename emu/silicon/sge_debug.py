"""SGE: its debug words, and the queue bases of every function."""

from __future__ import annotations

from vmcoredd.chip.sge import DEBUG_INDICES
from vmcoredd.emu.ports import Index
from vmcoredd.emu.scenario.queues import Function
from vmcoredd.emu.silicon.model import Model


class DebugWords(Model):
    """Two words behind an index, which can also be read where registers of their own stand."""

    def make(self) -> None:
        self.halves = {
            half: self.words.table(f"sge_debug_{half.lower()}", rows=DEBUG_INDICES)
            for half in ("HIGH", "LOW")
        }

    def wire(self) -> None:
        index, random = self.r.SGE_DEBUG_INDEX, self.scenario.random("sge debug")
        for half, table in self.halves.items():
            self.ports.index(index, self.r[f"SGE_DEBUG_DATA_{half}"], table, DEBUG_INDICES - 1)
            for i in range(DEBUG_INDICES):
                name = f"SGE_DEBUG_DATA_{half}_INDEX_{i}"
                if name in self.r:
                    register = self.r[name]
                    mask = register.mask(*(field.name for field in register.fields))
                    table.words[i] = random.getrandbits(32) & mask
                    self.words.set(register, table.words[i])


class QueueBases(Model):
    """A T6's map: a function in SGE_QBASE_INDEX, its queues in SGE_QBASE_MAP0 to 3."""

    def make(self) -> None:
        if functions := self.chip.sge.qbase_functions:
            self.table = self.words.table("sge_qbase", rows=1 << functions.bit_length(), width=4)

    def wire(self) -> None:
        if not self.chip.sge.qbase_functions:
            return
        index, first = self.r.SGE_QBASE_INDEX, self.r.SGE_QBASE_MAP0
        rows = self.table.count // 4
        self.ports.add(index, self.table, Index(index, rows - 1), first, width=4)
        for number, function in enumerate(self.scenario.queues.functions):
            vf = function.vf
            row = number if vf is None else self.chip.sge.qbase_first_vf + vf
            self.table.fill(4 * row, self._maps(function))

    def _maps(self, function: Function) -> tuple[int, int, int, int]:
        """Sizes as logarithms, rounded up (assumed); only the first of two ranges is used."""
        egress, ingress = function.egress_count, function.ingress_count
        if not egress:
            return 0, 0, 0, 0
        sizes = self.r.SGE_QBASE_MAP0.of(
            Egress0_Size=(egress - 1).bit_length(), Ingress0_Size=(ingress - 1).bit_length()
        )
        bases = self.r.SGE_QBASE_MAP3.of(Ingress0_Base=function.ingress)
        return sizes, function.egress, 0, bases
