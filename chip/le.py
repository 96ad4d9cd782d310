"""LE: the lookup engine, which finds the connection, server or filter of a packet (cudbg_lib.c).

An entry is 17 words, as LE_DB_DBGI_RSP_DATA shows them. From the driver's source: bit 15 of the
last word marks IPv6; words 3 and 4 of an IPv4 entry are the filter tuple (t4_hw.c reads its hash
mask there); word 9 of an IPv6 connection in the TCAM is the low half of the filter tuple, because
cudbg_is_ipv6_entry() compares it with protocol 6, so the addresses and ports fill words 0 to 8.
The order of addresses and ports in the tuple is assumed to be that of Chelsio's messages, lowest
word last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.register import Field, parse_fields

REQUEST_WORDS = 17
RESPONSE_WORDS = 17
"""Words of LE_DB_DBGI_REQ_DATA and LE_DB_DBGI_RSP_DATA."""
READ_COMMAND = 4
"""DBGICMD of LE_DB_DBGI_REQ_TCAM_CMD: read a TID."""
LE_MODE = 1
"""DBGICMDMODE of LE_DB_DBGI_CONFIG: the engine's own TIDs."""
MAX_POLLS = 7
"""How many times the driver reads the busy bit before it gives up."""
IPV6_TIDS = 2
"""TIDs of an IPv6 entry outside the CLIP TCAM (see `Le.clip_step`)."""


class LeEntryType(IntEnum):
    """The kinds of TID (cudbg_entity.h, enum cudbg_le_entry_types)."""

    UNKNOWN = 0
    TCAM_CON = 1
    TCAM_SERVER = 2
    TCAM_FILTER = 3
    TCAM_CLIP = 4
    TCAM_ROUTING = 5
    HASH_CON = 6
    INVALID_TID = 8


class Le(NamedTuple):
    """The differences between the chips. Registers are given by name."""

    filter_start: str
    server_start: str
    clip_start: str
    routing_start: str
    hash_base: str
    """The register LE_TCAM reads for the start of this region."""
    regions: Mapping[str, str]
    """The register with the first TID of each region of the TID table, in order.

    An empty name marks a region that starts at TID 0. On T6, LE_TCAM reads the start of the active
    region as that of the routing region, which T6 does not have.
    """
    start_step: int
    """The increase of a start register per TID; T5's registers count quarters (cxgb4_main.c)."""
    hash_region: tuple[str, str]
    """TID base and address of the hash table: MEMINFO reads them if hashing is on."""
    tcam_tids: int
    """TIDs of the TCAM with hashing off."""
    tcam_tids_compressed: int
    """TIDs of the TCAM with hashing off and ASLIPCOMPEN of LE_DB_CONFIG set."""
    compression: int
    """The bit of LE_DB_CONFIG the driver takes for ASLIPCOMPEN (T6 has another field there)."""
    hash_tids_shift: int
    """The lowest bit in LE_DB_HASH_CONFIG of the number of hash TIDs."""
    hash_tids_mask: int
    """The mask of the number of hash TIDs, once shifted down."""
    hash_tids_log2: bool
    """Whether the number of hash TIDs is stored as a logarithm to base 2."""
    clip_tids: int
    """TIDs of the separate CLIP TCAM, added to the others."""
    clip_step: int
    """TIDs of an IPv6 entry in the CLIP TCAM; elsewhere there are IPV6_TIDS."""
    ipv6_filter_tids: int
    """TIDs of an IPv6 filter, which begins at a multiple of them (cxgb4_filter.c)."""

    def hash_tids(self, hash_config: int) -> int:
        """Returns the number of hash TIDs in a value of LE_DB_HASH_CONFIG."""
        value = hash_config >> self.hash_tids_shift & self.hash_tids_mask
        return 1 << value if self.hash_tids_log2 else value

    def hash_config(self, tids: int) -> int:
        """Returns the bits of LE_DB_HASH_CONFIG for `tids` hash TIDs (rounded down to a power of
        two where the register holds a logarithm)."""
        value = max(tids.bit_length() - 1, 0) if self.hash_tids_log2 else tids
        return (value & self.hash_tids_mask) << self.hash_tids_shift

    def max_tid(self, config: int, hash_config: int, hash_base: int) -> int:
        """Returns the number of TIDs, given LE_DB_CONFIG (`HASHEN` is bit 20), LE_DB_HASH_CONFIG
        and the first hash TID."""
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
    regions={
        "active": "",
        "server": "LE_DB_SERVER_INDEX",
        "filter": "LE_DB_FILTER_TABLE_INDEX",
        "CLIP": "LE_DB_CLIP_TABLE_INDEX",
        "routing": "LE_DB_ROUTING_TABLE_INDEX",
        "hash": "LE_DB_TID_HASHBASE",
    },
    start_step=4,
    hash_region=("LE_DB_TID_HASHBASE", "LE_DB_HASH_TID_BASE"),
    tcam_tids=2048,
    tcam_tids_compressed=2048,
    compression=17,
    hash_tids_mask=0x3F,
    hash_tids_shift=16,
    hash_tids_log2=True,
    clip_tids=0,
    clip_step=2,
    ipv6_filter_tids=4,
)
T6 = Le(
    **_SAME,
    clip_start="LE_DB_CLCAM_TID_BASE",
    regions={
        "high-priority filter": "",
        "active": "LE_DB_ACTIVE_TABLE_START_INDEX",
        "server": "LE_DB_SRVR_START_INDEX",
        "filter": "LE_DB_NORM_FILT_TABLE_START_INDEX",
        "hash": "LE_DB_TID_HASHBASE",
        "CLIP": "LE_DB_CLCAM_TID_BASE",
    },
    start_step=1,
    hash_region=("LE_DB_HASH_TID_BASE", "LE_DB_HASH_TBL_BASE_ADDR"),
    tcam_tids=3072,
    tcam_tids_compressed=6144,
    compression=17,
    hash_tids_mask=0xFFFFF,
    hash_tids_shift=0,
    hash_tids_log2=False,
    clip_tids=1536,
    clip_step=4,
    ipv6_filter_tids=2,
)

IPV6_MARK = 0x8000
"""The bit of an entry's last word that marks IPv6."""
IPV6_IN_TCAM = 0x00C00000
"""The driver takes a TCAM connection for IPv6 only if word 9 also has this value: the filter tuple
of TCP in the default filter mode (cudbg_is_ipv6_entry())."""
_FLAGS = RESPONSE_WORDS - 1

FILTER_FIELDS = (
    ("fcoe", 1),
    ("port", 3),
    ("vnic_id", 17),
    ("vlan", 17),
    ("tos", 8),
    ("protocol", 8),
    ("ethertype", 16),
    ("macmatch", 9),
    ("mpshittype", 3),
    ("fragmentation", 1),
)
"""Name and width of each field that a filter tuple can have, in the order of the bits of
TP_VLAN_PRI_MAP that select them (t4_hw.c, t4_filter_field_shift())."""


def filter_fields(vlan_pri_map: int) -> tuple[Field, ...]:
    """Returns the fields of a filter tuple under a value of TP_VLAN_PRI_MAP, the lowest first."""
    fields: list[Field] = []
    shift = 0
    for bit, (name, width) in enumerate(FILTER_FIELDS):
        if vlan_pri_map >> bit & 1:
            fields.append(Field(name, shift, width))
            shift += width
    return tuple(fields)


def filter_mode(*names: str) -> int:
    """Returns the bits of TP_VLAN_PRI_MAP that select these fields; KeyError for an unknown one."""
    bits = {name: 1 << bit for bit, (name, _) in enumerate(FILTER_FIELDS)}
    return sum(bits[name] for name in names)


FILTER_TUPLE_BITS = 36
"""The most that the fields of a filter mode may have together."""
FILTER_MODE_FLAGS = {"srvrsram": 1 << 13, "fcoemask": 1 << 14}
"""What a configuration file may name beside the fields of a filter mode, and its bit in
TP_VLAN_PRI_MAP (t4_regs.h)."""


def filter_tuple_bits(vlan_pri_map: int) -> int:
    """Returns how many bits the fields of a filter mode have together."""
    return sum(field.width for field in filter_fields(vlan_pri_map))


VNIC_ID_MODE = filter_mode("vnic_id")
VNIC_ID = parse_fields("valid:16:1 pf:13:3 number:0:7")
"""What vnic_id is if TP_INGRESS_CONFIG.VNIC is set: the interface that gets a frame, by its
function and number (cxgb4_filter.c, hash_filter_ntuple())."""


def virtual_interface(pf: int, number: int) -> int:
    """Returns vnic_id of an interface."""
    valid, function, interface = VNIC_ID
    return valid.put(1) | function.put(pf) | interface.put(number)


DEFAULT_FILTER_MODE = filter_mode("fcoe", "port", "vlan", "protocol", "mpshittype", "fragmentation")
"""The filter mode of Chelsio's default configuration files."""
ETHERTYPE_FILTER_MODE = filter_mode("port", "tos", "protocol", "ethertype", "fragmentation")
"""A filter mode with what Linux asks for in all filters of `ethtool -N` and tc flower
(cxgb4_tc_flower.c, cxgb4_process_flow_match()); a VLAN has no room beside it."""


@dataclass(frozen=True)
class LookupEntry:
    """The tuple of an entry. Both addresses are packed, 4 or 16 bytes, highest byte first."""

    foreign: bytes
    local: bytes
    foreign_port: int = 0
    local_port: int = 0
    filter_tuple: int = 0
    """See `filter_fields`."""

    @property
    def is_ipv6(self) -> bool:
        """Whether the addresses are IPv6."""
        return len(self.local) == 16

    def words(self) -> tuple[int, ...]:
        """Returns the 17 words of the entry."""
        ports = self.local_port << 16 | self.foreign_port
        halves = [self.filter_tuple & U32_MASK, self.filter_tuple >> 32]
        found = [*_address_words(self.foreign), *_address_words(self.local), ports, *halves]
        found += [0] * (_FLAGS - len(found))
        return (*found, IPV6_MARK if self.is_ipv6 else 0)

    @classmethod
    def of_words(cls, words: Sequence[int]) -> LookupEntry:
        """Returns the entry in these 17 words."""
        size = 4 if words[_FLAGS] & IPV6_MARK else 1
        ports, low, high = words[2 * size : 2 * size + 3]
        return cls(
            foreign=_address(words[:size]),
            local=_address(words[size : 2 * size]),
            foreign_port=ports & 0xFFFF,
            local_port=ports >> 16,
            filter_tuple=high << 32 | low,
        )


def clip_words(address: bytes) -> tuple[int, ...]:
    """Returns the CLIP entry (compressed local addresses) of a packed IPv6 address: 17 words."""
    found = _address_words(address)
    return (*found, *[0] * (_FLAGS - len(found)), IPV6_MARK)


def clip_address(words: Sequence[int]) -> bytes:
    """Returns the packed IPv6 address of a CLIP entry."""
    return _address(words[:4])


def _address_words(address: bytes) -> list[int]:
    """Returns the words of an address; the first one holds its last bytes."""
    starts = range(0, len(address), 4)
    return [int.from_bytes(address[at : at + 4], "big") for at in starts][::-1]


def _address(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(4, "big") for word in reversed(words))
