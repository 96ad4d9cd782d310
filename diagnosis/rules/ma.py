"""MA: the arbiter between the blocks and the memories. Linux takes any of its causes as fatal."""

from __future__ import annotations

from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.finding import FATAL

_CLIENTS = "firmware-* cim-* tp-* sge-* le-* ulp-* pm-* mailbox-*"

causes(
    "MA_INT_CAUSE",
    Bits(
        "ma-parity",
        FATAL,
        "MEM_PERR_INT_CAUSE",
        "the memory arbiter met wrong parity; the status names the client's queue",
        "replace the card",
        explains=_CLIENTS,
        shows="MA_PARITY_ERROR_STATUS1 MA_PARITY_ERROR_STATUS2",
    ),
    Bits(
        "ma-address-wrap",
        FATAL,
        "MEM_WRAP_INT_CAUSE",
        "a client of the memory arbiter used an address beyond all memories",
        "MA_INT_WRAP_STATUS has the client's number and the address: the client names the block "
        "whose pointers are wrong",
        explains=_CLIENTS,
        shows="MA_INT_WRAP_STATUS",
    ),
    Bits(
        "ma-timeout",
        FATAL,
        "MEM_TO_INT_CAUSE",
        "a memory did not answer the arbiter in time",
        "look for errors of EDC and MC; reset the card",
        explains=_CLIENTS,
    ),
    source="t4_hw.c: ma_intr_handler()",
)
