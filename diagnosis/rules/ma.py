"""MA: the arbiter between the blocks and the memories. Linux takes any of its causes as fatal."""

from __future__ import annotations

from vmcoredd.diagnosis.card import Card, NotJudged
from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.consequences import READERS
from vmcoredd.diagnosis.finding import FATAL

_ADDRESS_SHIFT = 4


def _wrapped(card: Card) -> dict[str, object]:
    """Returns the client that used an address beyond its memory, and the address."""
    try:
        status = card.word("MA_INT_WRAP_STATUS")
    except NotJudged:
        return dict.fromkeys(("client", "address"), "(not in the dump)")
    address = status.get("MEM_WRAP_ADDRESS") << _ADDRESS_SHIFT
    return {"client": status.get("MEM_WRAP_CLIENT_NUM"), "address": f"{address:#x}"}


causes(
    "MA_INT_CAUSE",
    Bits(
        "ma-parity",
        FATAL,
        "MEM_PERR_INT_CAUSE",
        "the memory arbiter met a parity error; the status names the client's queue",
        "replace the card",
        explains=READERS,
        shows="MA_PARITY_ERROR_STATUS1 MA_PARITY_ERROR_STATUS2",
        parity=True,
    ),
    Bits(
        "ma-address-wrap",
        FATAL,
        "MEM_WRAP_INT_CAUSE",
        "MA address wrap-around error by client {client} to address {address}",
        "look for the block whose pointers are wrong; no public table tells which client "
        "{client} is",
        explains=READERS,
        shows="MA_INT_WRAP_STATUS",
        values=_wrapped,
    ),
    Bits(
        "ma-timeout",
        FATAL,
        "MEM_TO_INT_CAUSE",
        "a memory did not answer the arbiter in time",
        "look for errors of EDC and MC; reset the card",
        explains=READERS,
    ),
    Bits(
        "ma-other",
        FATAL,
        0xFFFFFFFF,
        "the memory arbiter reports an error that has no name",
        "look for errors of EDC and MC; reset the card",
        explains=READERS,
    ),
    source="t4_hw.c: ma_intr_handler()",
    complete=True,
)
