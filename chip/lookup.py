"""Entries of the lookup engine (LE): how a packet finds its connection, server or filter.

An entry is 17 words, as LE_DB_DBGI_RSP_DATA shows them. What the driver's source tells: bit 15 of
the last word marks IPv6; words 3 and 4 of an IPv4 entry are the filter tuple (t4_hw.c reads its
hash mask there); word 9 of an IPv6 connection in the TCAM is the filter tuple's low half, for it
equals protocol 6 there (cudbg_is_ipv6_entry()), so the tuple itself fills words 0 to 8. The order
of addresses and ports within the tuple is that of Chelsio's messages, lowest word last: assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmcoredd.chip.le import RESPONSE_WORDS
from vmcoredd.chip.register import parse_fields

_IPV6 = 0x8000
_FLAGS = RESPONSE_WORDS - 1

FILTER_TUPLE = parse_fields(
    "fragmentation:32:1 mpshittype:29:3 protocol:21:8 vlan:4:17 port:1:3 fcoe:0:1"
)
"""The filter tuple in the filter mode of Chelsio's default configuration files."""


@dataclass(frozen=True)
class LookupEntry:
    """A tuple; addresses are packed, 4 or 16 bytes both, highest byte first."""

    foreign: bytes
    local: bytes
    foreign_port: int = 0
    local_port: int = 0
    filter_tuple: int = 0
    """See FILTER_TUPLE."""

    @property
    def is_ipv6(self) -> bool:
        """Whether the addresses are IPv6."""
        return len(self.local) == 16

    def words(self) -> tuple[int, ...]:
        """The entry as the engine shows it."""
        ports = self.local_port << 16 | self.foreign_port
        halves = [self.filter_tuple & 0xFFFFFFFF, self.filter_tuple >> 32]
        found = [*_address_words(self.foreign), *_address_words(self.local), ports, *halves]
        found += [0] * (_FLAGS - len(found))
        return (*found, _IPV6 if self.is_ipv6 else 0)

    @classmethod
    def of_words(cls, words: Sequence[int]) -> LookupEntry:
        """From 17 words."""
        size = 4 if words[_FLAGS] & _IPV6 else 1
        ports, low, high = words[2 * size : 2 * size + 3]
        return cls(
            foreign=_address(words[:size]),
            local=_address(words[size : 2 * size]),
            foreign_port=ports & 0xFFFF,
            local_port=ports >> 16,
            filter_tuple=high << 32 | low,
        )


def clip_words(address: bytes) -> tuple[int, ...]:
    """The entry of the table of compressed local addresses (CLIP) for an IPv6 address."""
    found = _address_words(address)
    return (*found, *[0] * (_FLAGS - len(found)), _IPV6)


def clip_address(words: Sequence[int]) -> bytes:
    """The IPv6 address of an entry of the CLIP table."""
    return _address(words[:4])


def _address_words(address: bytes) -> list[int]:
    """Words of an address, the one with its last bytes first."""
    starts = range(0, len(address), 4)
    return [int.from_bytes(address[at : at + 4], "big") for at in starts][::-1]


def _address(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(4, "big") for word in reversed(words))
