"""The memories: EDC0, EDC1, MC0 and MC1.

Linux reads T4's offset of the cause register of EDC0 and EDC1 (0x7978), so on T5 and T6 its log
never has their errors.
"""

from __future__ import annotations

from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.finding import Severity

_REPLACE = "replace the card; the address of the first error is in {instance}'s error registers"
_DATA = "firmware-* cim-* tp-* sge-* le-* ulp-* pm-* ma-* mailbox-* device-log-*"
"""What reads memories: everything but the ports and PCIe."""

for _cause, _kind in (("EDC_H_INT_CAUSE", "edc"), ("MC_P_INT_CAUSE", "mc")):
    causes(
        _cause,
        Bits(
            f"{_kind}-ecc-uncorrectable",
            Severity.FATAL,
            "ECC_UE_INT*",
            "{instance}: a word was read with more wrong bits than ECC can correct",
            _REPLACE,
            _DATA,
        ),
        Bits(
            f"{_kind}-parity",
            Severity.FATAL,
            "PERR_INT*",
            "{instance}: a FIFO of the memory's controller has wrong parity",
            "replace the card",
            _DATA,
        ),
        Bits(
            f"{_kind}-ecc-correctable",
            Severity.WARNING,
            "ECC_CE_INT*",
            "{instance}: wrong bits were corrected; nothing was lost",
            "watch whether {instance} counts more of them; replace the card if it does",
        ),
        source="t4_hw.c: mem_intr_handler()",
    )
