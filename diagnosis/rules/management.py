"""SMB and NC-SI: the card's connections to the management controller.

Linux looks at their causes only while it handles another block's.
"""

from __future__ import annotations

from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.finding import FATAL, NOTE

_REPLACE = "reset the card; replace it if it happens again"

causes(
    "SMB_INT_CAUSE",
    Bits(
        "smb-parity",
        FATAL,
        "*FifoParInt",
        "a FIFO of SMBus had a parity error",
        _REPLACE,
        parity=True,
    ),
    Bits("smb-events", NOTE, "Slv* Mst*", "SMBus was used, or an exchange failed", "nothing"),
    source="t4_hw.c: smb_intr_handler()",
)
causes(
    "NCSI_INT_CAUSE",
    Bits(
        "ncsi-parity",
        FATAL,
        "*prty_err",
        "a FIFO of NC-SI had a parity error",
        _REPLACE,
        parity=True,
    ),
    Bits("ncsi-events", NOTE, "token arb* WOL MACInt", "NC-SI was used", "nothing"),
    source="t4_hw.c: ncsi_intr_handler()",
)
