"""LE: the lookup engine's table of TIDs and where its parts begin (cudbg_lib.c, le_tcam)."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

REQUEST_WORDS = 17
RESPONSE_WORDS = 17
"""Words of LE_DB_DBGI_REQ_DATA and LE_DB_DBGI_RSP_DATA."""
READ_COMMAND = 4
"""DBGICMD of LE_DB_DBGI_REQ_TCAM_CMD: read a TID."""
LE_MODE = 1
"""DBGICMDMODE of LE_DB_DBGI_CONFIG: the engine's own TIDs."""
MAX_POLLS = 7
"""How often the driver reads the busy bit before it gives up."""


class LeEntryType(IntEnum):
    """What a TID is (cudbg_entity.h, enum cudbg_le_entry_types)."""

    UNKNOWN = 0
    TCAM_CON = 1
    TCAM_SERVER = 2
    TCAM_FILTER = 3
    TCAM_CLIP = 4
    TCAM_ROUTING = 5
    HASH_CON = 6
    INVALID_TID = 8


class Le(NamedTuple):
    """What differs by chip. Registers are given by name."""

    filter_start: str
    server_start: str
    clip_start: str
    routing_start: str
    hash_base: str
    """The first TID of the hash region, as LE_TCAM reads it."""
    hash_region: tuple[str, str]
    """What MEMINFO reads for the hash table's memory if hashing is on: TID base, address."""
    tcam_tids: int
    """TIDs of the TCAM with hashing off."""
    tcam_tids_compressed: int
    """The same with ASLIPCOMPEN of LE_DB_CONFIG set."""
    compression: int
    """The bit of LE_DB_CONFIG that the driver takes for ASLIPCOMPEN (T6 has another there)."""
    hash_tids_mask: int
    """The bits of LE_DB_HASH_CONFIG that say how many hash TIDs there are ..."""
    hash_tids_shift: int
    hash_tids_log2: bool
    """... as a logarithm, or as the number itself."""
    clip_tids: int
    """TIDs of the separate CLIP TCAM; they come on top."""
    clip_step: int
    """TIDs of an IPv6 entry within the CLIP TCAM's range (elsewhere 2)."""

    def hash_tids(self, hash_config: int) -> int:
        """The number of hash TIDs that a value of LE_DB_HASH_CONFIG says."""
        value = hash_config >> self.hash_tids_shift & self.hash_tids_mask
        return 1 << value if self.hash_tids_log2 else value

    def max_tid(self, config: int, hash_config: int, hash_base: int) -> int:
        """TIDs there are, from LE_DB_CONFIG (`HASHEN` is bit 20), LE_DB_HASH_CONFIG, the base."""
        if config >> 20 & 1:
            return self.hash_tids(hash_config) + hash_base + self.clip_tids
        compressed = config >> self.compression & 1
        return (self.tcam_tids_compressed if compressed else self.tcam_tids) + self.clip_tids


_SAME = {
    "filter_start": "LE_DB_FILTER_TABLE_INDEX",
    "server_start": "LE_DB_SERVER_INDEX",
    "routing_start": "LE_DB_ROUTING_TABLE_INDEX",
    "hash_base": "LE_DB_TID_HASHBASE",
}
T5 = Le(
    **_SAME,
    clip_start="LE_DB_CLIP_TABLE_INDEX",
    hash_region=("LE_DB_TID_HASHBASE", "LE_DB_HASH_TID_BASE"),
    tcam_tids=2048,
    tcam_tids_compressed=2048,
    compression=17,
    hash_tids_mask=0x3F,
    hash_tids_shift=16,
    hash_tids_log2=True,
    clip_tids=0,
    clip_step=2,
)
T6 = Le(
    **_SAME,
    clip_start="LE_DB_CLCAM_TID_BASE",
    hash_region=("LE_DB_HASH_TID_BASE", "LE_DB_HASH_TBL_BASE_ADDR"),
    tcam_tids=3072,
    tcam_tids_compressed=6144,
    compression=17,
    hash_tids_mask=0xFFFFF,
    hash_tids_shift=0,
    hash_tids_log2=False,
    clip_tids=1536,
    clip_step=4,
)
