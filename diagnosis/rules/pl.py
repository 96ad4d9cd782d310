"""PL, the hub of the registers: whether the card is there at all, and PL's own causes."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import Register
from vmcoredd.chip.instances import block_of
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.diagnosis.card import NO_ACCESS, REG_DUMP, Card
from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.consequences import FIRMWARE_STOPS, READ_THROUGH
from vmcoredd.diagnosis.finding import ERROR, FATAL, NOTE, Evidence
from vmcoredd.diagnosis.rule import Hit, rule
from vmcoredd.plural import counted


@rule(
    "card-off-the-bus",
    FATAL,
    "PL_WHOAMI reads as all ones: the card did not answer on the PCI bus",
    to_do="look at the slot, the riser, the power and the AER log of the port above the card",
    source="t4_hw.c: t4_wait_dev_ready()",
    explains="*",
)
def off_the_bus(card: Card) -> Iterator[Hit]:
    word = card.raw_word("PL_WHOAMI")
    if word.value == U32_MASK:
        yield Hit(Evidence.of(word))


@rule(
    "function-without-access",
    FATAL,
    "PL_WHOAMI reads eeeeeeee: the function that asked may not access the card",
    to_do="reset the card; look whether another function, or a virtual machine, holds it",
    source="t4_hw.c: t4_wait_dev_ready(), CIM_PF_NOACCESS",
    explains="*",
)
def without_access(card: Card) -> Iterator[Hit]:
    word = card.raw_word("PL_WHOAMI")
    if word.value == NO_ACCESS:
        yield Hit(Evidence.of(word))


@rule(
    "registers-all-zero",
    FATAL,
    "every register reads as 0, which no card does: the dump holds nothing of it",
    to_do="take another dump; look at the slot and the power",
    source="t4_hw.c: t4_wait_dev_ready(); PL_WHOAMI names PF4 on a card that answers",
    explains="*",
)
def all_zero(card: Card) -> Iterator[Hit]:
    word = card.raw_word("PL_WHOAMI")
    if not word.value and not any(any(words) for _, words in card.runs()):
        yield Hit(Evidence.of(word))


@rule(
    "card-lost-during-dump",
    FATAL,
    "registers from {first:#x} on read as all ones: the card fell off the bus during the dump",
    to_do="look at the slot, the riser, the power and the AER log of the port above the card",
    source="t4_hw.c: t4_wait_dev_ready() (the same value, of one register)",
    explains="entity-* vpd-unreadable block-without-answer",
)
def lost_during_dump(card: Card) -> Iterator[Hit]:
    if card.words("PL_WHOAMI") and card.gone_from is not None:
        found = card.chip.r.at(card.gone_from)
        evidence = Evidence(REG_DUMP, U32_MASK, str(found or ""), card.gone_from)
        yield Hit((evidence,), {"first": card.gone_from})


_RUN = 8
_GARBAGE = (U32_MASK, NO_ACCESS, 0xDEADBEEF)


@rule(
    "block-without-answer",
    ERROR,
    "{registers} in a row, from {first:#x} on, read as {value:08x}: a block did not answer",
    to_do="look for errors of that block and of PCIe; reset the card",
    source="t4_hw.c: t4_wait_dev_ready() (the same values, of one register)",
    explains=" ".join(READ_THROUGH.values()),
)
def without_answer(card: Card) -> Iterator[Hit]:
    if card.words("PL_WHOAMI"):
        for first, words in card.runs():
            value = words[0]
            gone = value == U32_MASK and first >= (card.gone_from or U32_MASK)
            if len(words) >= _RUN and not gone and value in _GARBAGE and set(words) == {value}:
                found = card.chip.r.at(first)
                evidence = Evidence(REG_DUMP, value, str(found or ""), first)
                count = counted(len(words), "register")
                values = {"registers": count, "first": first, "value": value}
                yield Hit((evidence,), values, explains=_read_through(found))


def _read_through(found: tuple[Register, int] | None) -> tuple[str, ...]:
    """Returns the entities that are read through registers of the same block."""
    block = block_of(found[0]) if found else ""
    same = (names for name, names in READ_THROUGH.items() if name.split("_")[0] == block)
    return tuple(name for names in same for name in names.split())


@rule(
    "pl-interrupt-pending",
    NOTE,
    "interrupts wait to be handled: {blocks}",
    to_do="the findings of these blocks say why; without any, the cause was taken already",
    source="t4_hw.c: t4_slow_intr_handler()",
)
def pending(card: Card) -> Iterator[Hit]:
    cause, enable = card.word("PL_INT_CAUSE"), card.word("PL_INT_ENABLE")
    raised = cause.value & (enable.value or U32_MASK)
    if names := list(cause.names_of(raised)):
        yield Hit(Evidence.of(cause, *names), {"blocks": ", ".join(names)})


@rule(
    "pl-interrupt-masked",
    NOTE,
    "interrupts are raised that are not enabled, which is no error: {blocks}",
    to_do="nothing",
    source="t4_hw.c: t4_slow_intr_handler()",
)
def masked(card: Card) -> Iterator[Hit]:
    cause, enable = card.word("PL_INT_CAUSE"), card.word("PL_INT_ENABLE")
    names = list(cause.names_of(cause.value & ~enable.value))
    if names and enable.value:
        yield Hit(Evidence.of(cause, *names), {"blocks": ", ".join(names)})


@rule(
    "pl-parity-summary",
    ERROR,
    "blocks report a parity error: {blocks}",
    to_do="reset the card; replace it if it happens again",
    source="reg_defs (Linux does not read it)",
)
def parity(card: Card) -> Iterator[Hit]:
    cause = card.word("PL_PERR_CAUSE")
    if names := list(cause.names_of(cause.value)):
        yield Hit(Evidence.of(cause, *names), {"blocks": ", ".join(names)})


causes(
    "PL_PL_INT_CAUSE",
    Bits(
        "pl-fatal-parity",
        FATAL,
        "FatalPerr",
        "a block reported a parity error that stops the card",
        "PL_PERR_CAUSE and the blocks' own causes name it; replace the card",
        explains=FIRMWARE_STOPS,
        parity=True,
    ),
    Bits(
        "pl-map-parity",
        FATAL,
        "PERRVFID 0x1",
        "the map of virtual functions in PL had a parity error",
        "replace the card",
        parity=True,
    ),
    Bits(
        "pl-bus-parity",
        ERROR,
        "PL_BusPerr",
        "a parity error on the bus that the registers are on; Linux does not look at this bit",
        "replace the card",
        explains=FIRMWARE_STOPS,
        parity=True,
    ),
    Bits(
        "pl-access",
        ERROR,
        "Timeout PLErr InvalidAccess",
        "an access to a register was not answered, or was not valid",
        "look for a block whose registers read as ffffffff",
        explains="cim-access-timeout",
    ),
    source="t4_hw.c: pl_intr_handler()",
)
_CLOCKED = (
    "link-down link-local-fault link-high-error-rate pcie-aer-* pcie-parity* pcie-link-degraded"
)
"""What has its own clock, besides the processor: C, M, U, PCIe, KX and KR are the generators."""
causes(
    "DBG_INT_CAUSE",
    Bits(
        "clock-lost",
        ERROR,
        "pll_lock_lost* IBM_FDL_FAIL*",
        "a clock generator of the card's lost its lock",
        "look at the power and the temperature; replace the card if it happens again",
        explains=f"{FIRMWARE_STOPS} {_CLOCKED}",
    ),
    source="reg_defs (Linux does not read it)",
)
