"""CIM: the embedded processor's queues, logic analysers and tables (t4_hw.h, cudbg_entity.h)."""

from __future__ import annotations

from typing import NamedTuple


class Queue(NamedTuple):
    """A queue of the processor: inbound ones carry to it, outbound ones from it."""

    name: str
    """As the driver's debugfs calls it."""
    number: int
    """QUENUMSELECT of CIM_QUEUE_CONFIG_REF; of IBQSELECT or OBQSELECT as the direction is."""
    outbound: bool

    @property
    def select(self) -> str:
        """The field of CIM_QUEUE_CONFIG_REF that selects its direction."""
        return "OBQSelect" if self.outbound else "IBQSelect"


INBOUND = tuple(
    Queue(name, number, False)
    for number, name in enumerate(("TP0", "TP1", "ULP", "SGE0", "SGE1", "NC-SI"))
)
OUTBOUND = tuple(
    Queue(name, number, True)
    for number, name in enumerate(
        ("ULP0", "ULP1", "ULP2", "ULP3", "SGE", "NC-SI", "SGE0-RX", "SGE1-RX")
    )
)
INBOUND_WORDS = 512
"""Words of an inbound queue, and the distance of two in CIM_IBQ_DBG_CFG's address."""
QUEUE_UNIT_BYTES = 256
"""CIM_QUEUE_CONFIG_CTRL counts size and base of a queue in this; also 64 words of OBQ address."""
THRESHOLD_UNIT = 8
"""It counts the full threshold of a queue in this many flits (t4_hw.c, t4_read_cimq_cfg())."""
STATUS_WORDS = 4
"""Words of status of each queue from UP_IBQ_0_RDADDR on: read and write address, flits, packets."""
OBQ_REAL_WORDS = 2
"""Words of each outbound queue from UP_OBQ_0_REALADDR on."""

PIF_LA_ENTRIES = 64
PIF_LA_WORDS = 6
"""Words of an entry of the PIF logic analyser; two pointers apart lies the next entry."""
MA_LA_ENTRIES = 64
MA_LA_WORDS = 5
LA_POINTERS_IN_ROW = 16
"""CIM_LA's read pointer counts rows of this; not each pointer of a row need have a word."""


class Table(NamedTuple):
    """A table in the processor's address space."""

    name: str
    address: int
    words: int


PBT_TABLES = (
    Table("pbt_dynamic", 0x2800, 8),
    Table("pbt_static", 0x2840, 16),
    Table("lrf_table", 0x3000, 8),
    Table("pbt_data", 0x3800, 512),
)
"""What PBT_TABLE holds, in order (cudbg_entity.h)."""


class Cim(NamedTuple):
    """What differs by chip."""

    la_row_words: int
    """Pointers of a row of the logic analyser that have a word; the others are skipped."""
    la_line_words: int
    """Words that belong together when the logic analyser is shown (cxgb4_debugfs.c)."""


T5 = Cim(la_row_words=16, la_line_words=8)
T6 = Cim(la_row_words=10, la_line_words=10)
