"""TP: the transport processor, its pages and its drops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.counters import many
from vmcoredd.diagnosis.finding import ERROR, FATAL, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule

causes(
    "TP_INT_CAUSE",
    Bits(
        "tp-out-of-pages",
        FATAL,
        "FlmTxFlstEmpty",
        "TP has no free page left for data to send",
        "look first whether a memory is switched off; else compare the pages in MEMINFO with the "
        "connections in LE_TCAM, and give TP more pages in the configuration file",
        explains="send-blocked",
        shows="TP_FLM_FREE_TX_CNT TP_PMM_TX_MAX_PAGE",
    ),
    Bits(
        "tp-parity",
        FATAL,
        0x3FFFFFFF,
        "a memory or FIFO of TP had a parity error",
        "reset the card; replace it if it happens again",
        explains="tp-drops send-blocked receive-blocked",
        parity=True,
    ),
    source="t4_hw.c: tp_intr_handler()",
)


@rule(
    "tp-no-free-pages",
    WARNING,
    "TP has no free page for data to {direction}",
    to_do="look first whether a memory is switched off; else compare the pages in MEMINFO with the "
    "connections in LE_TCAM",
    source="cudbg_lib.c: cudbg_fill_meminfo()",
    explains="tp-drops send-blocked receive-blocked",
)
def no_free_pages(card: Card) -> Iterator[Hit]:
    for direction, free, field, most, pages in _PAGES:
        with card.in_part():
            left, there = card.word(free), card.word(most)
            if there.get(pages) and not left.get(field) and not _is_told(card, direction):
                evidence = Evidence.of(left, field) + Evidence.of(there, pages)
                yield Hit(evidence, {"direction": direction}, explains=_EXPLAINED[direction])


def _is_told(card: Card, direction: str) -> bool:
    """Returns whether tp-out-of-pages says it already; raises NotJudged if that is not known."""
    return direction == "send" and bool(card.word("TP_INT_CAUSE").get("FlmTxFlstEmpty"))


_EXPLAINED = {"send": ("send-blocked",), "receive": ("tp-drops", "receive-blocked")}
_PAGES = (
    ("send", "TP_FLM_FREE_TX_CNT", "FreeTxPageCount", "TP_PMM_TX_MAX_PAGE", "PMTxMaxPage"),
    ("receive", "TP_FLM_FREE_RX_CNT", "FreeRxPageCount", "TP_PMM_RX_MAX_PAGE", "PMRxMaxPage"),
)
"""Free pages of a channel, and how many there are."""


@rule(
    "tp-without-pages",
    ERROR,
    "TP was given no pages for payload: it can neither send nor receive offloaded data",
    to_do="look at the configuration file in the flash, and whether the memories are switched on",
    source="cudbg_lib.c: cudbg_fill_meminfo()",
)
def without_pages(card: Card) -> Iterator[Hit]:
    words = [card.word("TP_PMM_TX_MAX_PAGE"), card.word("TP_PMM_RX_MAX_PAGE")]
    if not any(word.value for word in words):
        yield Hit(Evidence.each(words))


_DROPS = ("TNL_CNG_DROP", "OFD_CHN_DROP", "TNL_DROP", "FCOE_DROP", "OFD_VLN_DROP")
_ERRORS = ("MAC_IN_ERR", "HDR_IN_ERR", "TCP_IN_ERR", "TCP_V6IN_ERR")


def _mib(card: Card, names: tuple[str, ...]) -> list[Word]:
    """Returns the counters of TP_MIB with these names, of all channels, in their order."""
    channels = range(4)
    each = (f"TP_MIB_{name}_{channel}" for name in names for channel in channels)
    words = (word for name in each for word in card.words(name, "TP_INDIRECT"))
    return sorted(words, key=lambda word: word.offset)


def _of_ports(card: Card, names: tuple[str, ...]) -> Iterator[Hit]:
    """Yields a hit with the counters of TP_MIB that are high; a channel is that of a port."""
    for hit in many(_mib(card, names)):
        evidence = (replace(one, instance=f"port {one.register[-1]}") for one in hit.evidence)
        yield replace(hit, evidence=tuple(evidence))


@rule(
    "tp-drops",
    WARNING,
    "TP dropped {count} frames: congestion, or no buffers",
    to_do="look at the receive queues and RSS; a slow host drops too",
    source="t4_hw.c: t4_tp_get_err_stats()",
)
def drops(card: Card) -> Iterator[Hit]:
    yield from _of_ports(card, _DROPS)


@rule(
    "tp-input-errors",
    WARNING,
    "TP counted {count} errors of frames that came in",
    to_do="look at the cable, the optics and the peer",
    source="t4_hw.c: t4_tp_get_err_stats()",
)
def input_errors(card: Card) -> Iterator[Hit]:
    yield from _of_ports(card, _ERRORS)
