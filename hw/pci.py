"""PCI configuration space: capabilities, and the vital product data (VPD) behind one of them.

Sources: drivers/pci/vpd.c for reading the VPD, t4_hw.c (t4_get_raw_vpd_params()) for parsing it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from vmcoredd.chip import vpd
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.pci import Cap, ConfigHeader, ExtCap, ExtCapHeader
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.io import Cell, Poll, Read, Space, Write

_CAPABILITIES = ConfigHeader.capability_list.offset
_FIRST_CAPABILITY = sizeof(ConfigHeader)
_CONFIG_BYTES = 256
_FIRST_EXTENDED = 256
_MAX_CAPABILITIES = 48


def find_capability(config: Space, cap: Cap) -> int | None:
    """Returns the offset of a capability, or None. Reads the first 256 bytes of the space."""
    space = config.read_run(0, _CONFIG_BYTES // 4)
    at = space[_CAPABILITIES] & ~3
    for _ in range(_MAX_CAPABILITIES):
        if at < _FIRST_CAPABILITY:
            return None
        if space[at] == cap:
            return at
        at = space[at + 1] & ~3
    return None


def serial_number(config: Space) -> bytes | None:
    """Returns the 8 bytes of the Device Serial Number, or None (pci_get_dsn()). Needs PCIe."""
    at = _FIRST_EXTENDED
    for _ in range(_MAX_CAPABILITIES):
        header = ExtCapHeader.from_bytes(config.read(at).to_bytes(4, "little"))
        if header.id == ExtCap.DSN:
            return config.read_run(at + 4, 2)
        at = header.next & ~3
        if at < _FIRST_EXTENDED:
            break
    return None


def update_register(config: Space, offset: int, clear: int, set_: int) -> None:
    """Clears and sets bits of the 16-bit control register at `offset`.

    Writes zeros to the status register in the upper half of the word: a 1 would clear a bit there.
    """
    config.write(offset, (config.read(offset) & 0xFFFF & ~clear) | set_)


_VPD_DONE = 1 << 31  # VpdCap.flag, in the word that begins with the capability's id
_VPD_ADDRESS_SHIFT = 16


def read_vpd(config: Space, capability: int | None, address: int, size: int) -> bytes:
    """Returns `size` bytes of the VPD from `address` on, fewer at its end (pci_read_vpd()).

    Raises DeviceError -ENODEV if there is no capability, -ETIMEDOUT if the adapter does not fetch
    a word.
    """
    if capability is None:
        raise DeviceError(-errno.ENODEV, "no vital product data")
    end = min(address + size, vpd.WINDOW_BYTES)
    rows = [word << _VPD_ADDRESS_SHIFT for word in range(address & ~3, end, 4)]
    done = Poll(
        capability,
        mask=_VPD_DONE,
        wanted=_VPD_DONE,
        attempts=vpd.POLLS,
        delay_us=vpd.POLL_DELAY_US,
        error=-errno.ETIMEDOUT,
    )
    data = config.run([Write(capability, Cell()), done, Read(capability + 4)], rows)
    return bytes(data[address % 4 : address % 4 + max(end - address, 0)])


@dataclass(frozen=True)
class CardVpd:
    """The strings the driver keeps, each one byte longer than the longest, for a final zero."""

    id: bytes
    serial: bytes
    part: bytes
    mac: bytes


def text(kept: bytes) -> str:
    """Returns a string of CardVpd up to its first zero byte."""
    return kept.split(b"\0", 1)[0].decode("ascii", "replace")


def card_vpd(config: Space, capability: int | None) -> CardVpd:
    """Reads and parses the VPD.

    Raises DeviceError -EINVAL if the checksum is wrong, -ENOENT if an item is missing, and the
    errors of read_vpd().
    """
    first = read_vpd(config, capability, vpd.BASE, 1)
    base = vpd.BASE if first == bytes([vpd.TAG_ID_STRING]) else vpd.OLD_BASE
    data = read_vpd(config, capability, base, vpd.READ_BYTES).ljust(vpd.READ_BYTES, b"\0")
    start, size = _find_tag(data, vpd.TAG_ID_STRING)
    name = data[start : start + size]
    _check_sum(data)
    serial, part, mac = (_keyword(data, key) for key in (b"SN", b"PN", b"NA"))
    return CardVpd(
        id=_kept(name, vpd.ID_BYTES),
        serial=_kept(serial, vpd.SN_BYTES),
        part=_kept(part, vpd.PN_BYTES),
        mac=_kept(mac, vpd.NA_BYTES),
    )


def _find_tag(data: bytes, tag: int) -> tuple[int, int]:
    """Returns start and size of the contents of a large resource."""
    at = 0
    while at + vpd.LARGE_TAG_BYTES <= len(data) and data[at] & vpd.TAG_LARGE:
        size = int.from_bytes(data[at + 1 : at + 3], "little")
        start = at + vpd.LARGE_TAG_BYTES
        if data[at] == tag:
            return start, min(size, len(data) - start)
        at = start + size
    raise DeviceError(-errno.ENOENT, f"vital product data: no tag {tag:#x}")


def _keyword(data: bytes, keyword: bytes) -> bytes:
    start, size = _find_keyword(data, keyword)
    return data[start : start + size]


def _find_keyword(data: bytes, keyword: bytes) -> tuple[int, int]:
    """Returns start and size of the contents of a keyword of the read-only resource."""
    start, size = _find_tag(data, vpd.TAG_READ_ONLY)
    at, end = start, start + size
    while at + vpd.KEYWORD_BYTES <= end:
        length = data[at + 2]
        if data[at : at + 2] == keyword:
            if at + vpd.KEYWORD_BYTES + length > len(data):
                raise DeviceError(-errno.EINVAL, f"vital product data: {keyword!r} too long")
            return at + vpd.KEYWORD_BYTES, length
        at += vpd.KEYWORD_BYTES + length
    raise DeviceError(-errno.ENOENT, f"vital product data: no {keyword.decode()}")


def _check_sum(data: bytes) -> None:
    """Checks that all bytes up to the first one of RV add up to 0."""
    try:
        start, size = _find_keyword(data, b"RV")
    except DeviceError as error:
        raise DeviceError(-errno.EINVAL, "vital product data: no checksum") from error
    if not size or sum(data[: start + 1]) & 0xFF:
        raise DeviceError(-errno.EINVAL, "vital product data: wrong checksum")


_BLANKS = b" \t\n\v\f\r\xa0"


def _kept(content: bytes, most: int) -> bytes:
    """Returns the first `most` bytes and a zero. As strim() does, it replaces only the first of the
    trailing blanks with a zero."""
    kept = bytearray(content[:most].ljust(most + 1, b"\0"))
    end = len(bytes(kept).split(b"\0", 1)[0].rstrip(_BLANKS))
    if kept[0]:
        kept[end] = 0
    return bytes(kept)
