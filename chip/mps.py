"""MPS: the packet switch's TCAM of MAC addresses and its replication maps (cudbg_lib.c)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

REPLICATION_WORDS = 8
"""Words of a replication map in MPS_TCAM, with a bit for each virtual function."""

HASHES = 64
"""Values of the hash of an address (cxgb4.h, hash_mac_addr()): the first entries of
MPS_PORT_CLS_HASH_SRAM."""
BROADCAST_ENTRY = 64
"""The last entry of MPS_PORT_CLS_HASH_SRAM (assumed)."""


class Mps(NamedTuple):
    """The differences between the chips."""

    tcam_entries: int
    """Entries of the classification TCAM (arch.mps_tcam_size)."""
    replication_vfs: int
    """Virtual functions of a replication map (arch.mps_rplc_size)."""
    replication_reads: tuple[str, ...]
    """The registers the driver reads for a map without the firmware, highest functions first.

    T5 has four registers, which the driver reads twice. For the lower four of T6 it uses T5's
    offsets, which are wrong for T6.
    """
    replication_read_from: tuple[int | None, ...]
    """The first virtual function of each stored word that was so read, lowest word first; None
    where the offset is of no register of the chip, or the word is not stored."""
    smt_step: int
    """Entries of the table of source addresses (SMT) for each interface's number (t4_hw.c,
    t4_change_mac())."""
    tcam_by_request: bool
    """Whether an entry is read by two requests to MPS_CLS_TCAM_DATA2_CTL; otherwise, as memory."""
    entries_per_tcam: int
    """Entries of one TCAM, which CtlTcamIndex counts; CtlTcamSel selects the TCAM."""
    buffer_groups: Mapping[int, tuple[int, ...]]
    """For each number of ports, a bit for each buffer group of each port (t4_hw.c,
    compute_mps_bg_map(); assumed for a T6 with one port)."""


_LOW = ("MPS_VF_RPLCT_MAP3", "MPS_VF_RPLCT_MAP2", "MPS_VF_RPLCT_MAP1", "MPS_VF_RPLCT_MAP0")
T5 = Mps(
    tcam_entries=512,
    replication_vfs=128,
    replication_reads=(*_LOW, *_LOW),
    replication_read_from=(0, 32, 64, 96, None, None, None, None),
    smt_step=2,
    tcam_by_request=False,
    entries_per_tcam=512,
    buffer_groups={1: (0xF,), 2: (0x3, 0xC), 4: (0x1, 0x2, 0x4, 0x8)},
)
T6 = Mps(
    tcam_entries=512,
    replication_vfs=256,
    replication_reads=(
        "MPS_VF_RPLCT_MAP7",
        "MPS_VF_RPLCT_MAP6",
        "MPS_VF_RPLCT_MAP5",
        "MPS_VF_RPLCT_MAP4",
        *(f"T5_{name}" for name in _LOW),
    ),
    replication_read_from=(64, 96, None, None, 128, 160, 192, 224),
    smt_step=1,
    tcam_by_request=True,
    entries_per_tcam=256,
    buffer_groups={1: (0xF,), 2: (0x1, 0x4)},
)
