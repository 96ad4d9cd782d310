"""SGE: errors of queues and doorbells.

The SGE names the queue of the first error in SGE_ERROR_STATS; a later one, until the driver clears
that register, sets its Uncaptured_Error.
"""

from __future__ import annotations

import errno

from vmcoredd.chip import Register
from vmcoredd.chip.devlog import Facility, Level
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.emu.engine.trouble import Kind, Trouble
from vmcoredd.emu.silicon.model import Model, fault, writes

ILLEGAL_QUEUE = (1 << 16) + 0x123
"""An id that no card has: Error_QID has 17 bits."""
CAUSES = {"SGE_INT_CAUSE3": 3, "SGE_INT_CAUSE4": 4}
"""Registers, and how Cause_Register in SGE_ERROR_STATS names them (assumed)."""
MET = {
    Kind.DMA_READ: ("err_pcie_error0", "", "queue %u: reading host memory at 0x%08x%08x failed"),
    Kind.DMA_WRITE: ("err_pcie_error0", "", "queue %u: writing host memory at 0x%08x%08x failed"),
    Kind.WORK_REQUEST: ("err_wr_len_too_large0", "", "queue %u: bad work request 0x%08x%08x"),
    Kind.DOORBELL: ("err_bad_db_pidx0", "err_inv_ctxt0", "queue %u: bad doorbell 0x%08x%08x"),
    Kind.BUFFER: ("err_physaddr_len0_idma0", "", "free list %u: buffer 0x%08x%08x has no size"),
    Kind.GTS: ("err_invalid_cidx_inc", "err_inv_ctxt0", "queue %u: bad GTS 0x%08x%08x"),
}
"""What the packet engine may meet: the bit that reports it, the bit if there is no such queue, and
what the firmware logs."""
FULL_DOORBELLS = 0x3FF


class QueueErrors(Model):
    """Errors that SGE_INT_CAUSE3 and 4 report, each with its queue.

    Which bits stand for what the packet engine met is assumed: the fields' names are all that is
    known of most. A posted write that the host refuses is reported like a read, though on a bus
    only the host would know.
    """

    def wire(self) -> None:
        self.core.engine.listeners.append(self.meet)

    @writes("SGE_ERROR_STATS")
    def clear(self, _element: int, value: int) -> int:
        """Clears the bits that are written as 1 (t4_hw.c, sge_intr_handler()); the rest stays."""
        stats = self.r.SGE_ERROR_STATS
        clears = stats.mask("Error_QID_Valid", "Uncaptured_Error")
        return self.spaces.get(stats) & ~(value & clears)

    def meet(self, trouble: Trouble) -> None:
        """Reports what the packet engine met, and has the firmware log it."""
        if trouble.kind not in MET:
            return
        bit, bit_without_queue, text = MET[trouble.kind]
        nowhere = trouble.error == -errno.ENOENT and bit_without_queue
        self._report(bit_without_queue if nowhere else bit, trouble.queue)
        operands = trouble.queue, trouble.what >> 32, trouble.what & U32_MASK
        self.firmware.note(Facility.DMAQ, text, *operands, level=Level.ERR)

    @fault(
        "sge-bad-pidx",
        "The host rang with a producer index that is too large: SGE_INT_CAUSE3, the queue's id.",
        reports=True,
    )
    def ring_too_far(self) -> None:
        self._report("err_bad_db_pidx0", self.queue(self.scenario.queues.egress, -1).id)

    @fault(
        "sge-bad-cidx",
        "The host returned more entries than a queue had: SGE_INT_CAUSE3, the queue's id.",
        reports=True,
    )
    def return_too_many(self) -> None:
        self._report("err_invalid_cidx_inc", self.queue(self.scenario.queues.ingress, -1).id)

    @fault(
        "sge-egress-size",
        "A doorbell named an egress queue that does not exist: SGE_INT_CAUSE3, its id.",
        reports=True,
    )
    def ring_nowhere(self) -> None:
        self._report("egress_size_err", ILLEGAL_QUEUE)

    @fault(
        "sge-ingress-size",
        "A message named an ingress queue that does not exist: SGE_INT_CAUSE3, its id.",
        reports=True,
    )
    def send_nowhere(self) -> None:
        self._report("ingress_size_err", ILLEGAL_QUEUE)

    @fault(
        "sge-cpl-too-big",
        "A message was larger than the entries of its ingress queue: SGE_INT_CAUSE3, fatal.",
        reports=True,
    )
    def overflow_entry(self) -> None:
        self._report("err_cpl_exceed_iqe_size", self.queue(self.scenario.queues.ingress, 1).id)

    def _report(self, bit: str, queue: int) -> None:
        cause, stats = self._cause(bit), self.r.SGE_ERROR_STATS
        if stats.get(self.spaces.get(stats), "Error_QID_Valid"):
            self.spaces.set_bits(stats, "Uncaptured_Error")
        else:
            self.spaces.put(
                stats,
                Error_QID=queue,
                Error_QID_Valid=1,
                Cause_Register=CAUSES[cause.name],
                Cause_Bit=cause.field(bit).shift,
            )
        self.interrupt("SGE", cause, bit)

    def _cause(self, bit: str) -> Register:
        """Returns the cause register that has this bit."""
        registers = (self.r[name] for name in CAUSES)
        return next(one for one in registers if any(field.name == bit for field in one.fields))


class Doorbells(Model):
    """The FIFO of doorbells, which loses some when it is full."""

    @fault(
        "doorbell-dropped",
        "The SGE has dropped doorbells: SGE_INT_CAUSE3.",
        reports=True,
    )
    def drop(self) -> None:
        self.interrupt("SGE", self.r.SGE_INT_CAUSE3, "err_dropped_db")

    @fault(
        "doorbell-fifo-full",
        "The FIFO of doorbells is full: SGE_INT_CAUSE3, and the count in SGE_DBFIFO_STATUS.",
        reports=True,
    )
    def fill(self) -> None:
        cause = self.r.SGE_INT_CAUSE3
        known = {field.name for field in cause.fields}
        bits = {"dbfifo_hp_int", "dbfifo_lp_int", "dbp_tbuf_full"} & known
        self.interrupt("SGE", cause, *bits)
        self._count(self.r.SGE_DBFIFO_STATUS, "LP_Count", "vfifo_cnt")
        if "SGE_DBFIFO_STATUS2" in self.r:
            self._count(self.r.SGE_DBFIFO_STATUS2, "HP_Count")

    def _count(self, register: Register, *names: str) -> None:
        for field in register.fields:
            if field.name in names:
                self.spaces.put(register, **{field.name: FULL_DOORBELLS})
