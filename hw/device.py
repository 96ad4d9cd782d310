"""What the driver knows about an adapter when it dumps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

from vmcoredd.chip import Chip
from vmcoredd.chip.flash import UNKNOWN_BYTES
from vmcoredd.chip.pci import PF, REGISTERS_BYTES


class AdapterFlag(IntFlag):
    """Flags of the driver's adapter, shown by TID_INFO (cxgb4.h, CXGB4_DEV_ENABLED and so on)."""

    FULL_INIT_DONE = 1 << 0
    DEV_ENABLED = 1 << 1
    USING_MSI = 1 << 2
    USING_MSIX = 1 << 3
    FW_OK = 1 << 4
    RSS_TNLALLLOOKUP = 1 << 5
    USING_SOFT_PARAMS = 1 << 6
    MASTER_PF = 1 << 7
    FW_OFLD_CONN = 1 << 9
    ROOT_NO_RELAXED_ORDERING = 1 << 10
    SHUTTING_DOWN = 1 << 11
    SGE_DBQ_TIMER = 1 << 12


MAILBOX_LOG_ENTRIES = 256
"""The number of entries in the mailbox log (T4_OS_LOG_MBOX_CMDS)."""


@dataclass(frozen=True)
class MailboxEntry:
    """A command or reply in the mailbox log (struct mbox_cmd)."""

    words: tuple[int, ...]
    """Eight 64-bit words."""
    timestamp: int
    """In jiffies; 0 marks an unused entry."""
    seqno: int
    access: int
    """Milliseconds until the driver owned the mailbox, or -errno."""
    execute: int
    """Milliseconds until the firmware replied, or -errno."""


@dataclass(frozen=True)
class Device:
    """An adapter after t4_prep_adapter(), before the first command to the firmware."""

    chip: Chip
    revision: int
    pf: int = PF
    bar0_bytes: int = REGISTERS_BYTES
    flash_bytes: int = UNKNOWN_BYTES
    flags: AdapterFlag = AdapterFlag.DEV_ENABLED
    """Set by the driver's bring-up."""
    cclk_khz: int = 50_000
    """The core clock that t4_prep_adapter() assumes; only the firmware knows the real one."""
    mailbox_log: Sequence[MailboxEntry] = ()
    tids: bytes = b""
    """What the driver knows of ids and has learnt from the firmware, as TID_INFO has it; empty: it
    has not asked yet."""
    attached: bool = False
    """Whether the driver may ask the firmware, as a running one does (is_fw_attached())."""
    queues: bytes = b""
    """The descriptors of its queues, as QDESC has them; empty: it has no queues."""

    @property
    def code(self) -> int:
        """Chip and revision in one byte (CHELSIO_CHIP_CODE()); 0x60 is the first T6."""
        return self.chip.version << 4 | self.revision
