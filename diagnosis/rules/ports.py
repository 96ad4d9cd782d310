"""MAC and MPS: the links of the Ethernet ports, their error counters, and the packet switch."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip import T5, T6
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.counters import counts, many
from vmcoredd.diagnosis.finding import ERROR, FATAL, NOTE, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule

_CABLE = "look at the cable, the optics and FEC on both sides"
_REPLACE = "replace the card"
_FRAMES = "mps-receive-errors tp-input-errors"
_UNREAD = "reg_defs (Linux does not read it)"


def _links(card: Card) -> Iterator[tuple[Word, Word | None]]:
    """Yields the link status of each port that the card has, and the word that tells its error
    rate; None if that has no value."""
    ports = card.ports
    rates = {word.element: word for word in card.words(card.chip.mac.error_rate)}
    for link in card.words("MAC_PORT_LINK_STATUS"):
        if link.element < ports:
            yield link, rates.get(link.element)


def _is_high(card: Card, rate: Word | None) -> bool:
    """Returns whether the error rate is high; False where it is not known."""
    return rate is not None and bool(rate.get(card.chip.mac.high_error_rate))


_LINK = "reg_defs: MAC_PORT_LINK_STATUS"


@rule(
    "link-local-fault",
    ERROR,
    "{port}: no good signal comes in, so the link is down (local fault)",
    to_do=_CABLE + "; look whether the peer sends",
    source=_LINK,
    explains=_FRAMES,
)
def local_fault(card: Card) -> Iterator[Hit]:
    for word, _ in _links(card):
        if word.get("locflt"):
            yield Hit(Evidence.of(word, "locflt"), {"port": word.instance or "port 0"})


@rule(
    "link-remote-fault",
    ERROR,
    "{port}: the peer says that no good signal reaches it (remote fault)",
    to_do=_CABLE + "; look whether the card's transmitter is on",
    source=_LINK,
)
def remote_fault(card: Card) -> Iterator[Hit]:
    for word, _ in _links(card):
        if word.get("remflt"):
            yield Hit(Evidence.of(word, "remflt"), {"port": word.instance or "port 0"})


@rule(
    "link-high-error-rate",
    ERROR,
    "{port}: the link's bit error rate is high",
    to_do=_CABLE,
    source=_LINK + ", MAC_PORT_MTIP_PCS_BASER_STATUS1",
    explains=_FRAMES,
)
def high_error_rate(card: Card) -> Iterator[Hit]:
    for word, rate in _links(card):
        if rate and _is_high(card, rate):
            high = Evidence.of(rate, card.chip.mac.high_error_rate)
            evidence = high + Evidence.of(word, "linkdn")
            yield Hit(evidence, {"port": word.instance or "port 0"})


@rule(
    "link-down",
    WARNING,
    "{port}: the link is down",
    to_do="look at the cable and the peer, if a cable is plugged in",
    source=_LINK,
)
def link_down(card: Card) -> Iterator[Hit]:
    for word, rate in _links(card):
        explained = _is_high(card, rate) or word.get("locflt") or word.get("remflt")
        if word.get("linkdn") and not explained:
            yield Hit(Evidence.of(word, "linkdn"), {"port": word.instance or "port 0"})


causes(
    "MAC_PORT_INT_CAUSE",
    Bits(
        "mac-parity",
        FATAL,
        "TxFifo_prty_err RxFifo_prty_err",
        "{instance}: a FIFO of the MAC had a parity error",
        _REPLACE,
        explains=_FRAMES,
        parity=True,
    ),
    Bits(
        "mac-receive-overflow",
        WARNING,
        "RxFifoOverFlow",
        "{instance}: the MAC's receive FIFO overflowed, and frames were lost",
        "look at flow control and at the drops of MPS",
    ),
    Bits(
        "mac-link-events",
        NOTE,
        "*Fault MAC_Link* PCS_Link* SigDetChg AutoNeg_Done AE_Train* an_page* HSS*",
        "{instance}: the link has changed since the events were last taken",
        "the link's state now is in MAC_PORT_LINK_STATUS",
    ),
    source="t4_hw.c: xgmac_intr_handler()",
)
for _cause, _rule in (
    ("MAC_PORT_PERR_INT_CAUSE", "mac-memory-parity"),
    ("MAC_PORT_PERR_INT_CAUSE_100G", "mac-memory-parity-100g"),
):
    causes(
        _cause,
        Bits(
            _rule,
            ERROR,
            "*",
            "{instance}: a memory of the MAC had a parity error",
            _REPLACE,
            explains=_FRAMES + " mac-parity",
            parity=True,
        ),
        source=_UNREAD,
    )


@rule(
    "mps-receive-errors",
    WARNING,
    "ports counted {count} errors of frames that came in",
    to_do=_CABLE,
    source="t4_hw.c: t4_get_port_stats()",
    explains="tp-input-errors",
)
def receive_errors(card: Card) -> Iterator[Hit]:
    names = (f"MPS_PORT_STAT_RX_PORT_{kind}_ERROR" for kind in ("CRC", "LEN", "SYM"))
    yield from many(one for name in names for one in counts(card, name))


@rule(
    "mps-drops",
    WARNING,
    "the packet switch dropped or cut {count} frames, for want of buffers",
    to_do="look at flow control (PFC), the host's load and the size of the receive queues",
    source="t4_hw.c: t4_get_port_stats()",
)
def receive_drops(card: Card) -> Iterator[Hit]:
    kinds = ("MAC_DROP", "MAC_TRUNC", "LB_DROP", "LB_TRUNC")
    names = (f"MPS_STAT_RX_BG_{group}_{kind}_FRAME" for group in range(4) for kind in kinds)
    yield from many(one for name in names for one in counts(card, name))


@rule(
    "mps-transmit-drops",
    WARNING,
    "ports dropped {count} frames that they were to send",
    to_do="look whether the link was down, and at flow control",
    source="t4_hw.c: t4_get_port_stats()",
)
def transmit_drops(card: Card) -> Iterator[Hit]:
    yield from many(counts(card, "MPS_PORT_STAT_TX_PORT_DROP"))


_RECEIVE = "mps-drops mps-receive-errors"
"""Frames that are damaged behind the MAC, and counters of the port that are."""


def _mps(
    name: str, rule_name: str, bits: str | int, what: str, *more: Bits, unread: str, explains: str
) -> None:
    """Adds the rules of a cause register of MPS about parity: `bits` are fatal to Linux, and
    `unread` those that it does not look at."""
    parity = Bits(rule_name, FATAL, bits, what, _REPLACE, explains=explains, parity=True)
    others = f"{what}; Linux does not look at these bits"
    rest = Bits(f"{rule_name}-unread", ERROR, unread, others, _REPLACE, parity=True)
    causes(name, *more, parity, *[rest] * bool(unread), source="t4_hw.c: mps_intr_handler()")


_mps(
    "MPS_RX_PERR_INT_CAUSE",
    "mps-receive-parity",
    0xFFFFFF,
    "MPS: a parity error while receiving",
    unread="INT_ERR_INT",
    explains=_RECEIVE,
)
_mps(
    "MPS_TRC_INT_CAUSE",
    "mps-trace-parity",
    "FiltMem PktFifo MiscPerr",
    "MPS: the tracer had a parity error",
    unread="",
    explains="",
)
_mps(
    "MPS_STAT_PERR_INT_CAUSE_SRAM",
    "mps-statistics-parity",
    0x1FFFFF,
    "MPS: a memory of the statistics had a parity error",
    unread="Rx*",
    explains=f"{_RECEIVE} mps-transmit-drops",
)
_mps(
    "MPS_STAT_PERR_INT_CAUSE_TX_FIFO",
    "mps-statistics-transmit-parity",
    0xFFFFF,
    "MPS: a transmit FIFO of the statistics had a parity error",
    unread="TxCh",
    explains="mps-transmit-drops",
)
_mps(
    "MPS_STAT_PERR_INT_CAUSE_RX_FIFO",
    "mps-statistics-receive-parity",
    0xFFFFFF,
    "MPS: a receive FIFO of the statistics had a parity error",
    unread="Pause",
    explains=_RECEIVE,
)
_mps(
    "MPS_CLS_INT_CAUSE",
    "mps-classifier-parity",
    "HashSRAM MatchTCAM MatchSRAM",
    "MPS: a table that sorts frames by address had a parity error",
    unread="",
    explains="mps-drops MPS_TCAM",
)
_BUBBLE = "the transmit FIFO of a port ran dry in the middle of a frame"
_mps(
    "MPS_TX_INT_CAUSE",
    "mps-transmit-parity",
    "TP Ncsi TxDataFifo TxDescFifo",
    "MPS: a parity error while sending",
    Bits(
        "mps-transmit-underflow",
        FATAL,
        "BUBBLE",
        f"MPS: {_BUBBLE}",
        "look at the SGE and PCIe, which were too slow; reset the card",
        chips=(T5,),
    ),
    Bits(
        "mps-transmit-bubble",
        NOTE,
        "BUBBLE",
        f"MPS: {_BUBBLE}, which is normal on a T6",
        "nothing",
        chips=(T6,),
    ),
    Bits(
        "mps-transmit-framing",
        FATAL,
        "SECNTERR FRMERR",
        "MPS: a frame to be sent had no proper beginning or end",
        "look for errors of TP and the SGE; reset the card",
    ),
    unread="PortErr",
    explains="mps-transmit-drops",
)
causes(
    "MPS_STAT_PERR_INT_CAUSE_SRAM1",
    Bits(
        "mps-statistics-parity-1",
        ERROR,
        "*",
        "MPS: a memory of the virtual functions' statistics had a parity error",
        _REPLACE,
        parity=True,
    ),
    source=_UNREAD,
)
causes(
    "MPS_RX_FUNC_INT_CAUSE",
    Bits(
        "mps-receive-framing",
        ERROR,
        "SE_CNT_ERR* FRM_ERR* INT_ERR* LEN_ERR*",
        "MPS: a frame that came in had no proper beginning, end or length",
        _CABLE,
    ),
    Bits(
        "mps-receive-too-long",
        NOTE,
        "MTU_ERR* PG_TH*",
        "MPS: a frame was longer than the MTU, or a threshold of pages was passed",
        "nothing",
    ),
    source=_UNREAD,
)
