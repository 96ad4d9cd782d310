"""What the driver's software knows of an adapter when it dumps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

from vmcoredd.chip import Chip
from vmcoredd.chip.flash import UNKNOWN_BYTES
from vmcoredd.chip.pci import PF, REGISTERS_BYTES


class AdapterFlag(IntFlag):
    """Of the driver's adapter, as TID_INFO shows them (cxgb4.h, CXGB4_DEV_ENABLED and so on)."""

    DEV_ENABLED = 1 << 1
    ROOT_NO_RELAXED_ORDERING = 1 << 10


@dataclass(frozen=True)
class MailboxEntry:
    """One command or reply of the mailbox log (struct mbox_cmd)."""

    words: tuple[int, ...]
    """Eight 64-bit words."""
    timestamp: int
    """In jiffies; 0 marks an unused entry."""
    seqno: int
    access: int
    """Milliseconds until the mailbox was ours, or -errno."""
    execute: int
    """Milliseconds until the firmware answered, or -errno."""


@dataclass(frozen=True)
class Device:
    """An adapter after t4_prep_adapter(): firmware has not been spoken to."""

    chip: Chip
    revision: int
    pf: int = PF
    bar0_bytes: int = REGISTERS_BYTES
    flash_bytes: int = UNKNOWN_BYTES
    flags: AdapterFlag = AdapterFlag.DEV_ENABLED
    """What the driver's bring-up noted."""
    cclk_khz: int = 50_000
    """The core clock, a constant until the firmware is asked (t4_prep_adapter())."""
    mailbox_log: Sequence[MailboxEntry] = ()

    @property
    def code(self) -> int:
        """Chip and revision in one byte: 0x60 for the first T6 (CHELSIO_CHIP_CODE())."""
        return self.chip.version << 4 | self.revision
