"""MPS: the packet switch's TCAM of MAC addresses and its replication maps (cudbg_lib.c)."""

from __future__ import annotations

from typing import NamedTuple

REPLICATION_WORDS = 8
"""Words of a replication map in MPS_TCAM: a bit for each virtual function."""


class Mps(NamedTuple):
    """What differs by chip."""

    tcam_entries: int
    """Entries of the classification TCAM (arch.mps_tcam_size)."""
    replication_vfs: int
    """Virtual functions of a replication map (arch.mps_rplc_size)."""
    replication_reads: tuple[str, ...]
    """The registers the driver reads for a map by the back door, in its order.

    That is from the word of the highest functions down. T5 has four, and they are read twice. On
    T6 the lower four are read where T5 has them, which is not where T6 has them.
    """
    tcam_by_request: bool
    """Reading an entry takes two requests to MPS_CLS_TCAM_DATA2_CTL; else it is plain memory."""
    entries_per_tcam: int
    """Entries that CtlTcamIndex counts before CtlTcamSel goes to the next TCAM."""


_LOW = ("MPS_VF_RPLCT_MAP3", "MPS_VF_RPLCT_MAP2", "MPS_VF_RPLCT_MAP1", "MPS_VF_RPLCT_MAP0")
T5 = Mps(
    tcam_entries=512,
    replication_vfs=128,
    replication_reads=(*_LOW, *_LOW),
    tcam_by_request=False,
    entries_per_tcam=512,
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
    tcam_by_request=True,
    entries_per_tcam=256,
)
