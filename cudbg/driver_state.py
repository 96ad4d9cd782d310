"""What the driver knew when it made the dump: whether it had attached to the firmware.

A crash kernel's driver dumps the adapter before its first command to the firmware. It then reads
contexts through a back door, computes with presets, and has no ids of connections and filters.
"""

from __future__ import annotations

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.hw.device import AdapterFlag

FLAGS_AT = 64
"""The byte offset of `flags` in TID_INFO (struct cudbg_tid_info_region_rev1)."""


def firmware_attached(tid_info: Bytes | None) -> bool | None:
    """Whether the driver had attached to the firmware: FW_OK in TID_INFO's bytes; None if they are
    missing or too short."""
    if tid_info is None or len(tid_info) < FLAGS_AT + 4:
        return None
    flags = int.from_bytes(tid_info[FLAGS_AT : FLAGS_AT + 4], "little")
    if flags == U32_MASK:  # no driver has all of them
        return None
    return bool(flags & AdapterFlag.FW_OK)
