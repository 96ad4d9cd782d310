"""The SGE's contexts of queues, as firmware sets them up: what a command asks for, by the names of
the contexts' fields, and the table and adapter memory that hold them.

The fields of a command that no context shows (who gets CPL_SGE_EGR_UPDATE, MSI-X masks) are in the
engine's tables only. Indices, generation and what is armed change while a queue runs: the engine
writes those (engine_show()).
"""

from __future__ import annotations

from collections.abc import Mapping

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import EqCtrl, EqEth, EqOfld, Iq
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.sge import (
    BASE_UNIT,
    CONTEXT_WORDS,
    ENTRIES_UNIT,
    ContextType,
    encode_context,
)
from vmcoredd.emu.memory import Memories
from vmcoredd.emu.scenario.memory_map import MemoryMap
from vmcoredd.emu.spaces import Spaces

QUEUES = 1 << 13
"""Contexts of each kind in the table."""
FUNCTION_SHIFT = 8
"""FID holds the physical function above the virtual one (assumed)."""
T5_BURSTS = 4
"""The values of FetchBurstMin on a T5: 16, 32, 64 and 128 bytes. A T6 has one bit, for 64 and 128,
and drivers that know only the T5's values set a T6's queues with them."""
IN_MEMORY = {ContextType.EGRESS: "DBQ contexts", ContextType.INGRESS: "IMSG contexts"}
"""The kinds of which adapter memory has a copy, and the regions that it is in."""
WORD_BYTES, PAIR_BYTES = 4, 8

Fields = dict[str, int]
"""Fields of a context that are not 0, by their names in chip/sge.py."""

_FETCH = {
    "StatusPgNS": "statuspgns",
    "StatusPgRO": "statuspgro",
    "FetchNS": "fetchns",
    "FetchRO": "fetchro",
    "HostFCMode": "hostfcmode",
    "FetchBurstMin": "fbmin",
    "FetchBurstMax": "fbmax",
    "CIDXFlushThresh": "cidxfthresh",
    "FCThreshOverride": "cidxfthresho",
    "CachePriority": "cprio",
    "OnChipQueue": "onchip",
}
"""Fields of an egress context, and those of FW_EQ_*_CMD and, behind `fl0` or `fl1`, FW_IQ_CMD."""
_FLM = {
    "PackEn": "packen",
    "PadEn": "paden",
    "RelaxedOrdering": "dataro",
    "NoSnoop": "datans",
    "Cache_Lock": "cachelock",
    "CongEn": "congen",
}
"""Fields of a context of the free list manager."""
_INGRESS = {
    "ISCSICoalescing": "iqflintiscsic",
    "DropRSS": "iqdroprss",
    "PCIeChannel": "iqpciech",
    "CongestionMgtEnable": "iqflintcongen",
    "NoSnoop": "iqns",
    "RelaxedOrdering": "iqro",
    "GTSmode": "iqgtsmode",
    "UpdateScheduling": "iqanus",
    "UpdateDelivery": "iqanud",
    "InterruptIDX": "iqandstindex",
    "InterruptDestination": "iqandst",
    "RxIntCounterThreshold": "iqintcntthresh",
    "QueueEntrySize": "iqesize",
    "QueueEntryOverride": "iqo",
    "CachePriority": "iqcprio",
}
"""Fields of an ingress context."""


def ingress_fields(cmd: Iq) -> Fields:
    """Returns the fields of an ingress queue's context."""
    return {name: getattr(cmd, field) for name, field in _INGRESS.items()} | {
        "Queue_Valid": 1,
        "BaseAddress": cmd.iqaddr // BASE_UNIT,
        "QueueSize": cmd.iqsize // ENTRIES_UNIT,
        "Generation": 1,
    }


def free_list_fields(cmd: Iq, which: int, flm: int) -> Fields:
    """Returns the fields of the egress context of free list 0 or 1, which has context `flm` in the
    free list manager."""
    fl = f"fl{which}"
    return {name: getattr(cmd, fl + field) for name, field in _FETCH.items()} | {
        "Valid": 1,
        "QueueType": 1,
        "FLMcontextID": flm,
        "FLMPacking": getattr(cmd, f"{fl}packen"),
        "PCIeDataChannel": cmd.iqpciech,
        "BaseAddress": getattr(cmd, f"{fl}addr") // BASE_UNIT,
        "QueueSize": getattr(cmd, f"{fl}size"),
        "FID": _function(cmd),
    }


def flm_fields(cmd: Iq, which: int, egress: int) -> Fields:
    """Returns the fields of a free list's context in the manager; `egress` is the list's id."""
    fields = {name: getattr(cmd, f"fl{which}{field}") for name, field in _FLM.items()}
    return fields | {"Valid": 1, "EQid": egress}


def egress_fields(cmd: EqEth | EqCtrl | EqOfld) -> Fields:
    """Returns the fields of an egress queue's context."""
    fields = {name: getattr(cmd, field) for name, field in _FETCH.items()} | {
        "Valid": 1,
        "FetchSizeMode": cmd.fetchszm,
        "PCIeDataChannel": cmd.pciechn,
        "BaseAddress": cmd.eqaddr // BASE_UNIT,
        "QueueSize": cmd.eqsize,
        "FID": _function(cmd),
    }
    if isinstance(cmd, EqEth) and cmd.timeren:
        fields["TimerIx"] = cmd.timerix
    return fields


def _function(cmd: Iq | EqEth | EqCtrl | EqOfld) -> int:
    function: int = cmd.pfn << FUNCTION_SHIFT | cmd.vfn
    return function


def encode(chip: Chip, kind: ContextType, fields: Mapping[str, int]) -> tuple[int, ...]:
    """Returns the words of a context. A field that the chip lacks is left out.

    Raises ValueError for a value that does not fit its field.
    """
    layout = chip.sge.context_fields(kind, free_list=bool(fields.get("QueueType")))
    masks = {field.name: field.mask >> field.shift for field in layout}
    kept = {name: value for name, value in fields.items() if name in masks}
    if kept.get("FetchBurstMin", T5_BURSTS) < T5_BURSTS:
        kept["FetchBurstMin"] &= masks["FetchBurstMin"]
    return encode_context(layout, **kept)


class ContextTable:
    """The contexts of one card: in the table behind SGE_CTXT_CMD, and in adapter memory."""

    def __init__(self, spaces: Spaces, memories: Memories, regions: MemoryMap) -> None:
        self._chip, self._memories, self._regions = spaces.chip, memories, regions
        self._table = spaces.space("sge_contexts")

    def store(self, kind: ContextType, number: int, fields: Mapping[str, int]) -> None:
        """Stores a queue's context; ValueError if a value does not fit its field."""
        self._put(kind, number, encode(self._chip, kind, fields))

    def change(self, kind: ContextType, number: int, **values: int) -> None:
        """Changes fields of a context; the others stay. Fields that the chip lacks are ignored, and
        so are those that only a free list's egress context has."""
        words = self.words(kind, number)
        context = sum(word << 32 * i for i, word in enumerate(words))
        for field in self._chip.sge.context_fields(kind):
            if field.name in values:
                context = context & ~field.mask | field.put(values[field.name])
        self._put(kind, number, tuple(context >> 32 * i & U32_MASK for i in range(CONTEXT_WORDS)))

    def words(self, kind: ContextType, number: int) -> tuple[int, ...]:
        """Returns a context; IndexError if there is none with this number."""
        if not 0 <= number < QUEUES:
            raise IndexError(f"context {number}")
        first = self._first(kind, number)
        return tuple(self._table.words[first : first + CONTEXT_WORDS])

    def clear(self, kind: ContextType, number: int) -> None:
        """Makes a context unused: all 0."""
        self._put(kind, number, (0,) * CONTEXT_WORDS)

    def _first(self, kind: ContextType, number: int) -> int:
        return (kind * QUEUES + number) * CONTEXT_WORDS

    def _put(self, kind: ContextType, number: int, words: tuple[int, ...]) -> None:
        """Stores words; in memory, each pair has its highest byte first (cudbg_lib.c swaps them
        back)."""
        self._table.fill(self._first(kind, number), words)
        if kind not in IN_MEMORY:
            return
        region = self._regions[IN_MEMORY[kind]]
        data = b"".join(word.to_bytes(WORD_BYTES, "little") for word in words)
        pairs = range(0, len(data), PAIR_BYTES)
        swapped = b"".join(data[at : at + PAIR_BYTES][::-1] for at in pairs)
        if (number + 1) * len(data) <= region.size:
            self._memories.write(region.base + number * len(data), swapped)
