"""SGE: errors of queues and doorbells.

The SGE names the queue of the first error in SGE_ERROR_STATS; a later one, until the driver clears
that register, sets its Uncaptured_Error.
"""

from __future__ import annotations

from vmcoredd.chip import Register
from vmcoredd.emu.silicon.model import Model, fault

ILLEGAL_QUEUE = (1 << 16) + 0x123
"""An id that no card has: Error_QID has 17 bits."""
CAUSE3 = 3
"""Cause_Register of SGE_INT_CAUSE3 (assumed)."""
FULL_DOORBELLS = 0x3FF


class QueueErrors(Model):
    """Errors that SGE_INT_CAUSE3 reports, each with its queue."""

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
        cause, stats = self.r.SGE_INT_CAUSE3, self.r.SGE_ERROR_STATS
        self.interrupt("SGE", cause, bit)
        if stats.get(self.spaces.get(stats), "Error_QID_Valid"):
            self.spaces.set_bits(stats, "Uncaptured_Error")
            return
        self.spaces.put(
            stats,
            Error_QID=queue,
            Error_QID_Valid=1,
            Cause_Register=CAUSE3,
            Cause_Bit=cause.field(bit).shift,
        )


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
