"""What the vital product data say of a card (t4_get_raw_vpd_params(), drivers/pci/vpd.c)."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Space
from vmcoredd.hw.pci import read_vpd

_BASE, _BASE_OLD, _BYTES = 0x400, 0, 1024
_TAG_ID, _TAG_READ_ONLY, _TAG_LARGE = 0x82, 0x90, 0x80
_TAG_HEAD = _KEYWORD_HEAD = 3
_BLANKS = b" \t\n\v\f\r\xa0"
_ID, _SERIAL, _PART, _MAC = 16, 24, 16, 12


@dataclass(frozen=True)
class Vpd:
    """Texts as the driver keeps them, one byte longer than the longest."""

    id: bytes
    serial: bytes
    part: bytes
    mac: bytes


def text(kept: bytes) -> str:
    """Such a text as one reads it."""
    return kept.split(b"\0", 1)[0].decode("ascii", "replace")


def card_vpd(config: Space, capability: int | None) -> Vpd:
    """Reads and parses them. DeviceError -EINVAL if the checksum is wrong, -ENOENT if a part is
    missing, and what reading them gives."""
    first = read_vpd(config, capability, _BASE, 1)
    base = _BASE if first == bytes([_TAG_ID]) else _BASE_OLD
    data = read_vpd(config, capability, base, _BYTES).ljust(_BYTES, b"\0")
    name = _tag(data, _TAG_ID)
    _check_sum(data)
    serial, part, mac = (_keyword(data, key) for key in (b"SN", b"PN", b"NA"))
    return Vpd(_kept(name, _ID), _kept(serial, _SERIAL), _kept(part, _PART), _kept(mac, _MAC))


def _tag(data: bytes, tag: int) -> bytes:
    """The content of a large resource."""
    start, size = _find_tag(data, tag)
    return data[start : start + size]


def _find_tag(data: bytes, tag: int) -> tuple[int, int]:
    at = 0
    while at + _TAG_HEAD <= len(data) and data[at] & _TAG_LARGE:
        size = int.from_bytes(data[at + 1 : at + 3], "little")
        start = at + _TAG_HEAD
        if data[at] == tag:
            return start, min(size, len(data) - start)
        at = start + size
    raise DeviceError(-errno.ENOENT, f"vital product data: no tag {tag:#x}")


def _keyword(data: bytes, keyword: bytes) -> bytes:
    start, size = _find_keyword(data, keyword)
    return data[start : start + size]


def _find_keyword(data: bytes, keyword: bytes) -> tuple[int, int]:
    """Where the content of a keyword of the read-only block stands."""
    start, size = _find_tag(data, _TAG_READ_ONLY)
    at, end = start, start + size
    while at + _KEYWORD_HEAD <= end:
        length = data[at + 2]
        if data[at : at + 2] == keyword:
            if at + _KEYWORD_HEAD + length > len(data):
                raise DeviceError(-errno.EINVAL, f"vital product data: {keyword!r} too long")
            return at + _KEYWORD_HEAD, length
        at += _KEYWORD_HEAD + length
    raise DeviceError(-errno.ENOENT, f"vital product data: no {keyword.decode()}")


def _check_sum(data: bytes) -> None:
    """All bytes up to the first one of RV must add up to 0."""
    try:
        start, size = _find_keyword(data, b"RV")
    except DeviceError as error:
        raise DeviceError(-errno.EINVAL, "vital product data: no checksum") from error
    if not size or sum(data[: start + 1]) & 0xFF:
        raise DeviceError(-errno.EINVAL, "vital product data: wrong checksum")


def _kept(content: bytes, most: int) -> bytes:
    """Cut to its length; the first of the blanks at its end becomes 0, others stay (strim())."""
    kept = bytearray(content[:most].ljust(most + 1, b"\0"))
    end = len(bytes(kept).split(b"\0", 1)[0].rstrip(_BLANKS))
    if kept[0]:
        kept[end] = 0
    return bytes(kept)
