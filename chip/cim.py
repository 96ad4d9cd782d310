"""CIM: queues, logic analysers and tables of the embedded processor (t4_hw.h, cudbg_entity.h)."""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.chip.register import Field, parse_fields

HOST_POLLS, HOST_POLL_DELAY_US = 5, 2
"""How many times, and how far apart, the driver reads HostBusy (t4_hw.c, t4_cim_read())."""


class Queue(NamedTuple):
    """A queue to the processor (inbound) or from it (outbound)."""

    name: str
    """The name in the driver's debugfs."""
    number: int
    """QUENUMSELECT of CIM_QUEUE_CONFIG_REF, within its direction."""
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
"""Words per inbound queue; in CIM_IBQ_DBG_CFG, also the distance between two queues."""
QUEUE_UNIT_BYTES = 256
"""The unit of a queue's size and base in CIM_QUEUE_CONFIG_CTRL."""
THRESHOLD_UNIT = 8
"""The unit of a queue's full threshold in that register (t4_hw.c, t4_read_cimq_cfg())."""
FLIT_BYTES = 16
"""A flit of a queue, the unit of QUEREMFLITS (cxgb4_debugfs.c, cim_qcfg_show())."""
STATUS_WORDS = 4
"""Status words per queue, from UP_IBQ_0_RDADDR on: read and write address, flits, packets."""
OBQ_REAL_WORDS = 2
"""Words per outbound queue, from UP_OBQ_0_REALADDR on."""

PIF_LA_ENTRIES = 64
PIF_LA_WORDS = 6
"""Words of an entry of the PIF logic analyser; its pointer advances by two for each entry."""
MA_LA_ENTRIES = 64
MA_LA_WORDS = 5

LA_READS = 2048
"""Words of CIM_LA that the driver reads, however long the chip's lines are (CIMLA_SIZE)."""


class Table(NamedTuple):
    """A table in the processor's address space."""

    name: str
    address: int
    words: int
    holds_addresses: bool = False
    """Whether its entries are PBT_ADDRESS_ENTRY."""


PBT_ADDRESS_ENTRY = parse_fields("valid:28:1 allocated:27:1 pending:26:1 address:0:26")
"""An entry of the first two tables (cudbg_view)."""
PBT_ADDRESS_SHIFT = 6

PBT_TABLES = (
    Table("pbt_dynamic", 0x2800, 8, holds_addresses=True),
    Table("pbt_static", 0x2840, 16, holds_addresses=True),
    Table("lrf_table", 0x3000, 8),
    Table("pbt_data", 0x3800, 512),
)
"""The contents of PBT_TABLE, in order (cudbg_entity.h)."""


class Cim(NamedTuple):
    """The differences between the chips."""

    la_words: int
    """Words of CIM_LA after its configuration word (cudbg_collect_cim_la())."""
    la_row_words: int
    """Words in a row of 16 pointers of the logic analyser; the driver skips the other pointers."""
    la_line_words: int
    """Words of a line of the logic analyser (cxgb4_debugfs.c)."""
    la_high_word_first: bool
    """Whether the first word of a line is the highest."""
    la_line: tuple[Field, ...]
    """The fields of a line, taken as one number."""
    la_program_counters: tuple[tuple[Field, ...], ...]
    """The entries of a line that captures only program counters, in the order of debugfs."""


# Positions: cxgb4_debugfs.c, cim_la_show() and its three variants.
T5 = Cim(
    la_words=2048,
    la_row_words=16,
    la_line_words=8,
    la_high_word_first=True,
    la_line=parse_fields(
        "Status:228:8 Data:196:32 PC:164:32 LS0Stat:160:4 LS0Addr:128:32 LS0Data:0:128"
    ),
    la_program_counters=(
        parse_fields("Status:64:8 Data:32:32 PC:0:32"),
        parse_fields("Status:136:8 Data:104:32 PC:72:32"),
        parse_fields("Status:228:8 Data:196:32 PC:164:32"),
    ),
)
T6 = Cim(
    la_words=2050,
    la_row_words=10,
    la_line_words=10,
    la_high_word_first=False,
    la_line=parse_fields(
        "Status:304:8 Inst:272:32 Data:240:32 PC:208:32 LS0Stat:64:32 LS0Addr:32:32 LS0Data:0:32 "
        "LS1Stat:160:32 LS1Addr:128:32 LS1Data:96:32"
    ),
    la_program_counters=(
        parse_fields("Status:96:8 Inst:64:32 Data:32:32 PC:0:32"),
        parse_fields("Status:200:8 Inst:168:32 Data:136:32 PC:104:32"),
        parse_fields("Status:304:8 Inst:272:32 Data:240:32 PC:208:32"),
    ),
)
