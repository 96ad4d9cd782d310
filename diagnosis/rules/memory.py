"""The memories: EDC0, EDC1, MC0, MC1 and HMA, and whether they are switched on.

Linux reads T4's offset of the cause register of EDC0 and EDC1 (0x7978), so on T5 and T6 its log
never has their errors.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.memory import MemoryId
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.consequences import READERS
from vmcoredd.diagnosis.finding import ERROR, FATAL, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule

for _cause, _kind, _lost, _corrected in (
    ("EDC_H_INT_CAUSE", "edc", *["EDC_H_ECC_STATUS EDC_H_ECC_ERR_ADDR"] * 2),
    ("MC_P_INT_CAUSE", "mc", "MC_P_ECC_STATUS MC_UE_ADDR", "MC_P_ECC_STATUS MC_CE_ADDR"),
):
    causes(
        _cause,
        Bits(
            f"{_kind}-ecc-uncorrectable",
            FATAL,
            "ECC_UE_INT*",
            "{instance}: uncorrectable ECC data error: a word was read with too many wrong bits",
            "replace the card",
            explains=READERS,
            shows=_lost,
        ),
        Bits(
            f"{_kind}-parity",
            FATAL,
            "PERR_INT*",
            "{instance}: a FIFO of the memory's controller had a parity error",
            "replace the card",
            explains=READERS,
            parity=True,
        ),
        Bits(
            f"{_kind}-ecc-correctable",
            WARNING,
            "ECC_CE_INT*",
            "{instance}: correctable ECC data errors: wrong bits were corrected, nothing was lost",
            "watch whether {instance} counts more of them; replace the card if it does",
            shows=_corrected,
        ),
        source="t4_hw.c: mem_intr_handler()",
    )

causes(
    "MC_P_PAR_CAUSE",
    Bits(
        "mc-parity-detail",
        ERROR,
        "FIFOR* RDATA*",
        "{instance}: a FIFO of the memory's controller had a parity error",
        "replace the card",
        explains="mc-parity",
        parity=True,
    ),
    source="reg_defs (Linux does not read it)",
)
causes(
    "HMA_INT_CAUSE",
    Bits(
        "hma-parity",
        ERROR,
        "PERR_INT_CAUSE",
        "HMA: a parity error on the way to the host's memory that the card uses",
        "look at PCIe first; replace the card if that is good",
        explains=READERS,
        parity=True,
    ),
    Bits(
        "hma-access",
        ERROR,
        "*MST_INT_CAUSE RTF* OTF* IDTF*",
        "HMA: an access to the host's memory that the card uses was refused or not answered",
        "look at PCIe and the host's IOMMU",
        explains=READERS,
    ),
    source="reg_defs (Linux does not read it)",
)

_STORED = (
    "tp-out-of-pages tp-no-free-pages tp-without-pages sge-without-context-memory "
    "MEMINFO DUMP_CONTEXT DEV_LOG EDC0 EDC1 MC0 MC1 HMA"
)
"""What lies in the memories: pages for payload, the contexts of queues, the firmware's log."""


@rule(
    "memory-switched-off",
    ERROR,
    "{instance}: the card has {size} MiB of it, and it is switched off",
    to_do="read DEV_LOG for why the firmware did not start it; it may have failed its test",
    source="cudbg_lib.c: cudbg_fill_meminfo(), MA_TARGET_MEM_ENABLE",
    explains=f"{READERS} {_STORED}",
)
def switched_off(card: Card) -> Iterator[Hit]:
    enable = card.word("MA_TARGET_MEM_ENABLE")
    for memory in card.chip.memory.types:
        with card.in_part():
            bar = card.word(memory.bar)
            size = bar.get(memory.size)
            if size and not enable.get(memory.enable) and _is_needed(card, memory.number):
                evidence = Evidence.of(enable, memory.enable) + Evidence.of(bar, memory.size)
                yield Hit(evidence, {"instance": memory.number.name, "size": size})


def _is_needed(card: Card, number: MemoryId) -> bool:
    """Returns whether a memory must be on: HMA is not where there is MC0."""
    mc0 = next(memory for memory in card.chip.memory.types if memory.number is MemoryId.MC0)
    return number is not MemoryId.HMA or not card.word(mc0.bar).value
