"""Replaces the private values of dumps by pseudonyms, the same value always by the same one.

    names = Pseudonyms()
    for dump in dumps: learn(dump, names)
    copies = [redacted(dump, names) for dump in dumps]

The values are those at the places of `cudbg.private`. Copies of them are found in all entities that
remain: in any byte order, as text, and as the half of an IPv6 address that is made from a MAC
address (EUI-64). Entities whose private values have no known place are left out: memories (payload,
connections with their keys), descriptors of queues (payload), and whatever this version does not
know. IP addresses and ports of connections, and the words that logic analysers caught, stay.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vmcoredd.cudbg.container import COMPRESSION_NONE, COMPRESSION_ZLIB
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.dump import Dump, DumpEntity
from vmcoredd.cudbg.entity import Stage, entities, measured
from vmcoredd.cudbg.errors import DumpFormatError, UnknownFormat
from vmcoredd.cudbg.left_out import Why
from vmcoredd.cudbg.private import is_empty, mailbox_views, places
from vmcoredd.cudbg.pseudonyms import MAC_BYTES, Kind, Pseudonyms, is_private
from vmcoredd.cudbg.slim import slimmed
from vmcoredd.cudbg.unknowns import chip_unknown, format_unknown
from vmcoredd.hw.device import MAILBOX_LOG_ENTRIES

_PORTS = 4
"""A card's ports have addresses that follow the one in its VPD."""
_LARGE = 4 << 20
"""Bytes of an entity that are searched; only QDESC is larger."""
_EMPTY = "QDESC"
"""Stays if it holds no descriptors."""
_SHORTEST, _FULLEST = 6, 3
"""Bytes of a value that is looked for everywhere, and how many of them are not zero: others are
found by chance."""
_WRITTEN = (COMPRESSION_NONE, COMPRESSION_ZLIB)
_ZEROS = re.compile(rb"\0{64,}")
"""Most of a dump, and no part of a value: to leave them out makes a search much faster."""
_NONE: Mapping[str, Why] = {}
_UNCLEAN = ("RSS_KEY", "SW_STATE", "WTP", "FLASH")
"""Entities of older drivers and of the vendor's collector: keys, host names, flash images."""


def learn(dump: Dump, names: Pseudonyms) -> None:
    """Gives pseudonyms to the private values of a dump.

    Raises UnknownFormat for a dump whose values have no known places: of an unknown chip, format or
    byte order.
    """
    if reason := _unknown(dump):
        raise UnknownFormat(f"its private data cannot be found: {reason}")
    for entity in dump.entities:
        for kind, value in _private_values(dump, entity):
            names.of(kind, value)
            if kind is Kind.MAC_TEXT and is_private(kind, value):
                _learn_ports(bytes.fromhex(value[: 2 * MAC_BYTES].decode()), names)


def _private_values(dump: Dump, entity: DumpEntity) -> Iterator[tuple[Kind, bytes]]:
    """Yields the values at an entity's places, of a damaged one or one of another size those that
    are left: other entities may hold copies of them."""
    if not entity.good or entity.size > _LARGE:
        return
    try:
        remains, decoder = dump.remains(entity.name), dump.decoder(entity.name)
    except DumpFormatError:
        return
    remains = remains.resized(measured(decoder.raw_bytes, dump.chip) or remains.size)
    if remains.size <= _LARGE:
        raw = remains.filled()
        for place in places(entity.name, raw, dump.chip):
            if all(remains.holds(at) for at in place.offsets):
                yield place.kind, place.get(raw)


def _unknown(dump: Dump) -> str:
    """Returns why the layouts of a dump's entities are not known; empty if they are."""
    header = dump.header
    order = "" if dump.byte_order == "little" else f"{dump.byte_order}-endian host"
    packing = "" if header.compress_type in _WRITTEN else f"compression {dump.compression}"
    reasons = (format_unknown(header), chip_unknown(header), packing, order)
    return next(filter(None, reasons), "")


def _learn_ports(first: bytes, names: Pseudonyms) -> None:
    for port in range(_PORTS):
        last = int.from_bytes(first[3:], "big") + port & 0xFFFFFF
        names.of(Kind.MAC, first[:3] + last.to_bytes(3, "big"))


def redacted(dump: Dump, names: Pseudonyms, without: Mapping[str, Why] = _NONE) -> bytearray:
    """Returns a copy of a dump with pseudonyms, without the entities that cannot be cleaned, and
    without those in `without`. Raises as `slimmed`."""
    forms = _forms(names)
    left_out = dict(without)
    replaced: dict[str, Bytes] = {}
    for entity in dump.entities:
        if entity.name in left_out or not entity.good:
            continue
        if not _cleanable(dump, entity):
            left_out[entity.name] = Why.PRIVATE
        elif entity.name != _EMPTY:
            raw = _raw(dump, entity)
            if raw is None:
                left_out[entity.name] = Why.PRIVATE
            elif (clean := _cleaned(raw, entity.name, dump, names, forms)) != raw:
                replaced[entity.name] = bytes(clean)
    return slimmed(dump, left_out, replaced)


def replace_copies(data: bytes, names: Pseudonyms) -> bytes:
    """Returns `data` with pseudonyms for the values that are known so far."""
    return bytes(_replace(bytearray(data), "", _forms(names)))


def _cleaned(raw: bytes, name: str, dump: Dump, names: Pseudonyms, forms: list[_Form]) -> bytearray:
    """Returns an entity's bytes with pseudonyms."""
    clean = bytearray(raw)
    for place in places(name, raw, dump.chip):
        place.put(clean, names.of(place.kind, place.get(raw)))
    return _replace(clean, name, forms)


def _cleanable(dump: Dump, entity: DumpEntity) -> bool:
    known = entities().get(entity.name)
    if known is None or known.stage == Stage.MEMORIES or entity.name in _UNCLEAN:
        return False
    if entity.name == _EMPTY:
        return is_empty(dump, _EMPTY)
    return True


def _raw(dump: Dump, entity: DumpEntity) -> bytes | None:
    """Returns the bytes of an entity that can be read, is of a size that can be searched, and is
    decoded whole, so that its layout is the known one."""
    if not entity.good:
        return None
    try:
        blob = dump.blob(entity.name)
        if len(blob) > _LARGE or dump.decode(entity.name).incomplete:
            return None
        return bytes(blob[:])
    except DumpFormatError:
        return None


# Copies of values


class _Form(NamedTuple):
    """A way in which a value is written, and its pseudonym in the same way."""

    value: bytes
    pseudonym: bytes


def _forms(names: Pseudonyms) -> list[_Form]:
    """Returns all ways to write all values, the longest first."""
    found: dict[bytes, bytes] = {}
    for value, pseudonym in names.made.items():
        if len(value) >= _SHORTEST and len(value) - value.count(0) >= _FULLEST:
            ways = [(value, pseudonym)]
            if names.kinds[value] is Kind.MAC:
                ways.append((_eui64(value), _eui64(pseudonym)))
            for one, other in ways:
                for form, new in zip(_written(one), _written(other), strict=True):
                    found.setdefault(form, new)
    return [_Form(*pair) for pair in sorted(found.items(), key=lambda pair: -len(pair[0]))]


def _eui64(mac: bytes) -> bytes:
    """Returns the interface identifier of a MAC address in IPv6 (RFC 4291, appendix A)."""
    return bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]


def _written(value: bytes) -> Iterator[bytes]:
    for one in (value, value[::-1]):
        yield one
        for text in (one.hex(), one.hex(":"), one.hex("-"), one.hex(".", -2), one.hex(" ")):
            yield text.encode()
            yield text.upper().encode()


def _replace(data: bytearray, name: str, forms: list[_Form]) -> bytearray:
    """Replaces every form in `data`, read in every byte order."""
    for offsets in _orders(data, name):
        seen = bytes(data) if offsets is None else offsets.seen(data)
        thin = _ZEROS.sub(b"\0" * 64, seen)
        for form in forms:
            if form.value not in thin:
                continue
            at = seen.find(form.value)
            while at >= 0:
                for i, byte in enumerate(form.pseudonym, at):
                    data[i if offsets is None else offsets.real(i)] = byte
                at = seen.find(form.value, at + len(form.value))
    return data


class _Swapped:
    """Data whose words of `size` bytes are in the other byte order."""

    def __init__(self, size: int, code: str) -> None:
        self._size, self._code, self._whole = size, code, 0

    def seen(self, data: bytearray) -> bytes:
        """Returns the data in that order; incomplete words at the end stay."""
        self._whole = whole = len(data) // self._size * self._size
        words = array(self._code, bytes(data[:whole]))
        words.byteswap()
        return words.tobytes() + bytes(data[whole:])

    def real(self, i: int) -> int:
        """Returns the offset of the byte that is seen at `i`."""
        return i - 2 * (i % self._size) + self._size - 1 if i < self._whole else i


class _Listed:
    """The bytes at `offsets`, in this order."""

    def __init__(self, offsets: list[int]) -> None:
        self._offsets = offsets

    def seen(self, data: bytearray) -> bytes:
        """Returns them."""
        return bytes(data[at] for at in self._offsets)

    def real(self, i: int) -> int:
        """Returns the offset of the byte that is seen at `i`."""
        return self._offsets[i]


def _orders(data: bytearray, name: str) -> Iterator[_Swapped | _Listed | None]:
    yield None
    yield from (_Swapped(size, code) for size, code in ((2, "H"), (4, "I"), (8, "Q")))
    if name == "MBOX_LOG":
        for at in range(0, len(data), len(data) // MAILBOX_LOG_ENTRIES):
            if any(data[at : at + 8]):
                yield from map(_Listed, mailbox_views(at))
