"""PL, the hub of the registers: whether the card is there at all."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import Severity
from vmcoredd.diagnosis.rule import Hit, rule

NO_ACCESS = 0xEEEEEEEE
"""What a function without access reads (t4_hw.h, CIM_PF_NOACCESS)."""


@rule(
    "card-off-the-bus",
    Severity.FATAL,
    "PL_WHOAMI reads as all ones: the card did not answer on the PCI bus",
    to_do="look at the slot, the riser, the power and the AER log of the port above the card",
    source="t4_hw.c: t4_wait_dev_ready()",
    explains="*",
)
def off_the_bus(card: Card) -> Iterator[Hit]:
    for word in card.raw_words("PL_WHOAMI"):
        if word.value == U32_MASK:
            yield Hit((word.evidence(),))


@rule(
    "function-without-access",
    Severity.FATAL,
    "PL_WHOAMI reads eeeeeeee: the function that asked may not access the card",
    to_do="reset the card; look whether another function, or a virtual machine, holds it",
    source="t4_hw.c: t4_wait_dev_ready(), CIM_PF_NOACCESS",
    explains="*",
)
def without_access(card: Card) -> Iterator[Hit]:
    for word in card.raw_words("PL_WHOAMI"):
        if word.value == NO_ACCESS:
            yield Hit((word.evidence(),))
