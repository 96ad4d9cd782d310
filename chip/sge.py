"""SGE: queue contexts, doorbells and debug registers (t4_hw.h, cudbg_lib.c).

A context is the state of one queue: a 192-bit number whose first word is the lowest. Fields are
given as `name:shift:width` (see `chip.register`). Names, positions and units of fields are those of
the tables that FreeBSD's cxgbetool carries for T5 and T6.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import NamedTuple

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.register import Field, parse_fields

CONTEXT_BYTES = 24
"""A context in adapter memory (SGE_CTXT_SIZE)."""
CONTEXT_WORDS = CONTEXT_BYTES // 4
MAX_FREE_LISTS = 1024
"""Free lists, unless SGE_FLM_CFG.HdrStartFLQ halves them (CUDBG_MAX_FL_QIDS)."""
BACK_DOOR_QUEUES = 256
"""Egress and ingress contexts that DUMP_CONTEXT reads without the firmware."""
DEBUG_INDICES = 16
"""Values of SGE_DEBUG_INDEX; they select SGE_DEBUG_DATA_HIGH_INDEX_<i> and _LOW_."""


BASE_UNIT = 512
"""The unit of BaseAddress, in bytes."""
ENTRIES_UNIT = 16
"""The unit of an ingress context's QueueSize, in entries."""
ENTRY_UNIT = 16
"""The smallest entry of an ingress queue, in bytes; QueueEntrySize is the logarithm of the rest."""


DOORBELL_TIMERS = 8
"""Doorbell queue timers of a T6."""


def doorbell_timer(number: int) -> tuple[str, str]:
    """Returns the register and field of a doorbell queue timer; four share a register."""
    return f"SGE_DBQ_TIMER_THRESH{number // 4}", f"TxTimeTh{number}"


class UpdateDelivery(IntFlag):
    """How a driver hears of new entries of an ingress queue (FreeBSD's and DPDK's
    t4fw_interface.h and t4_regs_values.h, X_UPDATEDELIVERY_*)."""

    INTERRUPT = 1
    STATUS_PAGE = 2


class ContextType(IntEnum):
    """The table a context is in (t4_hw.h, enum ctxt_type)."""

    EGRESS = 0
    INGRESS = 1
    FLM = 2
    CNM = 3


VALID_BIT = {ContextType.EGRESS: 176, ContextType.INGRESS: 141, ContextType.FLM: 89}
"""The bit that is set while a queue is in use (cudbg_lib.c, cudbg_sge_ctxt_check_valid())."""
FREE_LIST_BIT = 1
"""The bit of an egress context that marks a free list."""


USER_DOORBELL = {"SIZE": 128, "KDOORBELL": 8, "GTS": 20, "WCDOORBELL": 64}
"""SGE_UDB_<name>: a queue's part of BAR2 in bytes, and its doorbells there (t4_values.h)."""
PAGE_SHIFT = 10
"""SGE_HOST_PAGE_SIZE counts from pages of 1 << PAGE_SHIFT bytes (t4_hw.c, t4_init_sge_params())."""
STATUS_DESCRIPTORS = (1, 2)
"""Descriptors of 64 bytes at the end of an egress queue or free list that are its status page, by
SGE_CONTROL.EgrStatusPageSize (t4_sge_init()). QueueSize counts them, indices do not reach them."""
STATUS_ENTRIES = 1
"""The same at the end of an ingress queue (t4_sge_alloc_rxq())."""


class Unit(NamedTuple):
    """A field's unit. A value is `value << shift` of it; a logarithm is `1 << value << shift`."""

    name: str
    """In the singular."""
    shift: int = 0
    logarithm: bool = False

    def scaled(self, value: int) -> int:
        """Returns the field's value in this unit."""
        return (1 << value if self.logarithm else value) << self.shift


_HOST = "DCA_ST:181:11 StatusPgNS:180:1 StatusPgRO:179:1 FetchNS:178:1 FetchRO:177:1 Valid:176:1 "
_HINTS = (
    "StatusPgTPHintEn:173:1 StatusPgTPHint:171:2 FetchTPHintEn:170:1 FetchTPHint:168:2 "
    "FCThreshOverride:167:1 "
)
_QUEUE = (
    "uPTokenEn:132:1 UserModeIO:131:1 uPFLCredits:123:8 uPFLCreditEn:122:1 FID:111:11 "
    "HostFCMode:109:2 HostFCOwner:108:1 CIDXFlushThresh:105:3 CIDX:89:16 PIDX:73:16 "
    "BaseAddress:18:55 QueueSize:2:16 QueueType:1:1 "
)
_WORK_REQUEST = "WRLength:162:5 WRLengthKnown:161:1 ReschedulePending:160:1 "
_EGRESS_T5 = parse_fields(
    f"{_HOST}PCIeDataChannel:174:2 {_HINTS}{_WORK_REQUEST}OnChipQueue:159:1 FetchSizeMode:158:1 "
    "FetchBurstMin:156:2 FLMPacking:155:1 FetchBurstMax:153:2 uPToken:133:20 "
    f"{_QUEUE}CachePriority:0:1"
)
_EGRESS_T6 = parse_fields(
    f"{_HOST}ReschedulePending_1:175:1 PCIeDataChannel:174:1 {_HINTS}{_WORK_REQUEST}TimerIx:157:3 "
    "FetchBurstMin:156:1 FLMPacking:155:1 FetchBurstMax:153:2 uPToken:133:20 "
    f"{_QUEUE}FetchSizeMode:0:1"
)
_FREE_LIST = parse_fields(
    f"{_HOST}PCIeDataChannel:174:2 {_HINTS}ReschedulePending:160:1 OnChipQueue:159:1 "
    "FetchSizeMode:158:1 FetchBurstMin:156:2 FLMPacking:155:1 FetchBurstMax:153:2 "
    f"FLMcongMode:152:1 MaxuPFLCredits:144:8 FLMcontextID:133:11 {_QUEUE}CachePriority:0:1"
)
_INGRESS = (
    "DCA_ST:143:11 ISCSICoalescing:142:1 Queue_Valid:141:1 TimerPending:140:1 DropRSS:139:1 "
    "PCIeChannel:137:2 SEInterruptArmed:136:1 CongestionMgtEnable:135:1 NoSnoop:134:1 "
    "RelaxedOrdering:133:1 GTSmode:132:1 TPHintEn:131:1 TPHint:129:2 UpdateScheduling:128:1 "
    "UpdateDelivery:126:2 InterruptSent:125:1 InterruptIDX:114:11 InterruptDestination:113:1 "
    "InterruptArmed:112:1 RxIntCounter:106:6 RxIntCounterThreshold:104:2 Generation:103:1 "
    "BaseAddress:48:55 PIDX:32:16 CIDX:16:16 QueueSize:4:12 QueueEntrySize:2:2 "
    "QueueEntryOverride:1:1 CachePriority:0:1"
)
_INGRESS_T5 = parse_fields(_INGRESS)
_INGRESS_T6 = parse_fields(f"SP_NS:158:1 SP_RO:157:1 SP_TPHintEn:156:1 SP_TPHint:154:2 {_INGRESS}")
_FLM = (
    "Valid:89:1 SplitLenMode:87:2 TPHintEn:86:1 TPHint:84:2 NoSnoop:83:1 RelaxedOrdering:82:1 "
    "DCA_ST:71:11 EQid:54:17 SplitEn:52:2 PadEn:51:1 PackEn:50:1 Cache_Lock:49:1 CongDrop:48:1 "
)
_FLM_T5 = parse_fields(f"{_FLM}PackOffset:16:32 CIDX:8:8 PIDX:0:8")
_FLM_T6 = parse_fields(
    f"{_FLM}Inflight:47:1 CongEn:46:1 CongMode:45:1 PackOffset:20:20 CIDX:8:8 PIDX:0:8"
)
_CNM = parse_fields(
    "CngMPSEnable:21:1 CngTPMode:19:2 CngDBPHdr:18:1 CngDBPData:17:1 CngIMSG:16:1 CngChMap:0:16"
)

_EGRESS_UNITS = {
    "BaseAddress": Unit("address", 9),
    "CIDXFlushThresh": Unit("entry", logarithm=True),
    "WRLength": Unit("byte", 9, logarithm=True),
}
_FREE_LIST_UNITS = _EGRESS_UNITS | {"FetchBurstMin": Unit("byte", 4, logarithm=True)}
_INGRESS_UNITS = {
    "BaseAddress": Unit("address", 9),
    "QueueSize": Unit("entry", 4),
    "QueueEntrySize": Unit("byte", 4, logarithm=True),
}

_IDMA_T5 = (
    "IDLE",
    "ALMOST_IDLE",
    "PUSH_MORE_CPL_FIFO",
    "PUSH_CPL_MSG_HEADER_TO_FIFO",
    "SGEFLRFLUSH_SEND_PCIEHDR",
    "PHYSADDR_SEND_PCIEHDR",
    "PHYSADDR_SEND_PAYLOAD_FIRST",
    "PHYSADDR_SEND_PAYLOAD",
    "SEND_FIFO_TO_IMSG",
    "FL_REQ_DATA_FL",
    "FL_DROP",
    "FL_DROP_SEND_INC",
    "FL_H_REQ_HEADER_FL",
    "FL_H_SEND_PCIEHDR",
    "FL_H_PUSH_CPL_FIFO",
    "FL_H_SEND_CPL",
    "FL_H_SEND_IP_HDR_FIRST",
    "FL_H_SEND_IP_HDR",
    "FL_H_REQ_NEXT_HEADER_FL",
    "FL_H_SEND_NEXT_PCIEHDR",
    "FL_H_SEND_IP_HDR_PADDING",
    "FL_D_SEND_PCIEHDR",
    "FL_D_SEND_CPL_AND_IP_HDR",
    "FL_D_REQ_NEXT_DATA_FL",
    "FL_SEND_PCIEHDR",
    "FL_PUSH_CPL_FIFO",
    "FL_SEND_CPL",
    "FL_SEND_PAYLOAD_FIRST",
    "FL_SEND_PAYLOAD",
    "FL_REQ_NEXT_DATA_FL",
    "FL_SEND_NEXT_PCIEHDR",
    "FL_SEND_PADDING",
    "FL_SEND_COMPLETION_TO_IMSG",
)
_IDMA_T6 = tuple(state for state in _IDMA_T5 if state not in ("ALMOST_IDLE", "SEND_FIFO_TO_IMSG"))


class Sge(NamedTuple):
    """The differences between the chips."""

    contexts: Mapping[ContextType, tuple[Field, ...]]
    """The fields of each type of context, highest first."""
    egress_units: Mapping[str, Unit]
    """The units of an egress context's fields."""
    qbase_functions: int
    """Functions with a queue base in SGE_QBASE_MAP0..3; 0 if the chip lacks these registers."""
    qbase_first_vf: int
    """The value of SGE_QBASE_INDEX for virtual function 0; physical ones have lower values."""
    idma_states: tuple[str, ...]
    """The states of an ingress DMA engine, by number (t4_hw.c, t4_sge_decode_idma_state(), which by
    mistake names those of a T6 by the table of a T5)."""
    driver_interrupts: int
    """SGE_INT_ENABLE3 as the driver sets it (t4_hw.c, t4_intr_enable())."""
    doorbell_priority: bool
    """Free-list doorbells set Priority and Type of SGE_PF_KDOORBELL (arch.sge_fl_db)."""
    pad_shift: int
    """SGE_CONTROL.IngPadBoundary is the logarithm of the boundary, less this (t4_values.h)."""
    burst_min: int
    """FetchBurstMin that the driver asks for (sge.c, t4_sge_alloc_eth_txq())."""
    free_list_burst_min: int
    """The same of a free list (sge.c, t4_sge_alloc_rxq())."""
    free_list_burst_max: int
    """FetchBurstMax that the driver asks for, of a free list (sge.c, t4_sge_alloc_rxq())."""
    told_by_message: bool
    """The driver has an Ethernet queue's progress told by CPL_SGE_EGR_UPDATE, with an override of
    the threshold, and not in the status page (sge.c, t4_sge_alloc_eth_txq())."""
    congestion_bits: int
    """The logarithm of the bits for each channel in CngChMap (arch.cng_ch_bits_log)."""

    def context_fields(self, kind: ContextType, *, free_list: bool = False) -> tuple[Field, ...]:
        """Returns the fields of a context, highest first; the egress context of a free list has
        different ones."""
        return _FREE_LIST if kind == ContextType.EGRESS and free_list else self.contexts[kind]

    def context_units(self, kind: ContextType, *, free_list: bool = False) -> Mapping[str, Unit]:
        """Returns the units of those fields that are not plain numbers."""
        if kind == ContextType.EGRESS:
            return _FREE_LIST_UNITS if free_list else self.egress_units
        return _INGRESS_UNITS if kind == ContextType.INGRESS else {}


T5 = Sge(
    contexts={
        ContextType.EGRESS: _EGRESS_T5,
        ContextType.INGRESS: _INGRESS_T5,
        ContextType.FLM: _FLM_T5,
        ContextType.CNM: _CNM,
    },
    egress_units=_FREE_LIST_UNITS,
    qbase_functions=0,
    qbase_first_vf=8,
    idma_states=_IDMA_T5,
    driver_interrupts=0x6FF7B0,
    doorbell_priority=True,
    pad_shift=5,
    burst_min=2,
    free_list_burst_min=3,
    free_list_burst_max=3,
    told_by_message=True,
    congestion_bits=2,
)
T6 = Sge(
    contexts={
        ContextType.EGRESS: _EGRESS_T6,
        ContextType.INGRESS: _INGRESS_T6,
        ContextType.FLM: _FLM_T6,
        ContextType.CNM: _CNM,
    },
    egress_units=_EGRESS_UNITS,
    qbase_functions=264,
    qbase_first_vf=8,
    idma_states=_IDMA_T6,
    driver_interrupts=0x6BF4B0,
    doorbell_priority=False,
    pad_shift=3,
    burst_min=0,
    free_list_burst_min=0,
    free_list_burst_max=2,
    told_by_message=False,
    congestion_bits=3,
)


def encode_context(fields: tuple[Field, ...], **values: int) -> tuple[int, ...]:
    """Returns the words of a context with these fields set and all others 0.

    Raises KeyError for a field it does not have, ValueError for a value that does not fit.
    """
    known = {field.name: field for field in fields}
    number = 0
    for name, value in values.items():
        number |= known[name].put(value)
    return tuple(number >> 32 * i & U32_MASK for i in range(CONTEXT_WORDS))
