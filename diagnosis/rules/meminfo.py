"""MEMINFO: counts of pages and structures that cannot be, so that the dump is not to be trusted.

The registers are those that MEMINFO is read from.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule

_SOURCE = "cudbg_lib.c: cudbg_fill_meminfo()"
_TO_DO = "take another dump; do not rely on this one's numbers"
_FREE = (
    ("pages to send with", "TX_CNT", "FreeTxPageCount", "TP_PMM_TX_MAX_PAGE", "PMTxMaxPage"),
    ("pages to receive with", "RX_CNT", "FreeRxPageCount", "TP_PMM_RX_MAX_PAGE", "PMRxMaxPage"),
    ("payload structures", "PS_CNT", "FREEPSTRUCTCOUNT", "TP_CMM_MM_MAX_PSTRUCT", ""),
)
"""What TP has, the register that counts the free ones, and the one that says how many there are."""


@rule(
    "dump-impossible-pages",
    WARNING,
    "TP has more free {what} than it has: the dump is not to be trusted",
    to_do=_TO_DO,
    source=_SOURCE,
)
def more_free(card: Card) -> Iterator[Hit]:
    for what, count, free, most, pages in _FREE:
        with card.in_part():
            left, there = card.word(f"TP_FLM_FREE_{count}"), card.word(most)
            if left.get(free) > (there.get(pages) if pages else there.value) > 0:
                whole = Evidence.of(there, pages) if pages else Evidence.of(there)
                yield Hit(Evidence.of(left, free) + whole, {"what": what})


@rule(
    "dump-impossible-buffers",
    WARNING,
    "MPS uses more buffer pages of {what} {number} than were allocated to it: the dump is not to "
    "be trusted",
    to_do=_TO_DO,
    source=_SOURCE,
)
def more_used(card: Card) -> Iterator[Hit]:
    memory = card.chip.memory
    for what, pages in ((memory.pages_of, memory.port_pages), ("loopback", memory.loopback_pages)):
        stem, first = pages.register[:-1], int(pages.register[-1])
        for number in range(pages.words):
            for word in card.words(f"{stem}{first + number}"):
                if word.get(pages.used) > word.get(pages.allocated):
                    evidence = Evidence.of(word, pages.used, pages.allocated)
                    yield Hit(evidence, {"what": what, "number": number})
