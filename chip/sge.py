"""SGE: queue contexts, doorbells and debug words (t4_hw.h, cudbg_lib.c)."""

from __future__ import annotations

from typing import NamedTuple

CONTEXT_BYTES = 24
"""A context in adapter memory (SGE_CTXT_SIZE)."""
MAX_FREE_LISTS = 1024
"""Free lists before SGE_FLM_CFG.HdrStartFLQ halves them (CUDBG_MAX_FL_QIDS)."""
BACK_DOOR_QUEUES = 256
"""Egress and ingress contexts that DUMP_CONTEXT fetches without firmware."""
DEBUG_INDICES = 16
"""Values of SGE_DEBUG_INDEX; what they show is named SGE_DEBUG_DATA_HIGH_INDEX_<i> and LOW."""
TIMERS = 6
COUNTERS = 4
QUEUE_UNIT_BYTES = 64
"""Egress queue indices and free-list sizes count this (SGE_EQ_IDXSIZE)."""

DOORBELL_PAGE_SHIFT = 10
"""A doorbell page has 1 << (HostPageSizePF + this) bytes."""
USER_DOORBELL_BYTES = 128
USER_KDOORBELL = 8
USER_GTS = 20
USER_WRITE_COMBINED = 64
"""Offsets within a queue's user doorbell in BAR2 (t4_hw.h, t4_bar2_sge_qregs())."""


class Sge(NamedTuple):
    """What differs by chip."""

    qbase_functions: int
    """Functions with a queue base in SGE_QBASE_MAP0..3; 0: the chip has no such registers."""
    qbase_first_vf: int
    """The value of SGE_QBASE_INDEX for virtual function 0; below are the physical ones."""
    doorbell_priority: bool
    """Free-list doorbells set Priority and Type of SGE_PF_KDOORBELL (arch.sge_fl_db)."""


T5 = Sge(qbase_functions=0, qbase_first_vf=8, doorbell_priority=True)
T6 = Sge(qbase_functions=264, qbase_first_vf=8, doorbell_priority=False)
