"""The vital product data as they stand in the card's EEPROM, in the 2 KiB that PCI shows.

The driver looks at 0x400 first (t4_hw.c, t4_get_raw_vpd_params()): an identifier string there
starts the data of T5 and T6. What stands there stands at 0 as well, for others.
"""

from __future__ import annotations

from emu.errors import EmulatorError
from emu.profile import Profile
from emu.state.identity import Identity

VPD_BYTES = 2048
BASE = 0x400
LENGTH = 0x400
VERSION_AT = 0xC7
"""Two digits, from the base (cudbg_lib.h, CUDBG_VPD_VER_ADDR, seen by PF4)."""
TAG_ID, TAG_READ_ONLY, TAG_END = 0x82, 0x90, 0x78
HEAD = 3
"""Bytes in front of a resource's content, and of a keyword's."""


def vpd_image(profile: Profile, identity: Identity) -> bytes:
    """The whole 2 KiB."""
    data = _resources(profile, identity).ljust(LENGTH, b"\0")
    return (data + data).ljust(VPD_BYTES, b"\xff")


def _resources(profile: Profile, identity: Identity) -> bytes:
    name = (
        f"Chelsio {profile.vpd.id}".encode()
        if len(profile.vpd.id) <= 8
        else profile.vpd.id.encode()
    )
    front = _resource(TAG_ID, name)
    fields = b"".join(
        (
            _keyword("PN", profile.vpd.part.ljust(16).encode()),
            _keyword("EC", b"0".ljust(16)),
            _keyword("SN", identity.serial.ljust(24).encode()),
            _keyword("NA", identity.base_mac.hex().upper().encode()),
        )
    )
    fields += _filler(VERSION_AT - len(front) - HEAD - len(fields))
    fields += _keyword("V1", f"{profile.vpd.version:02}".encode())
    checked = front + bytes([TAG_READ_ONLY]) + (len(fields) + HEAD + 1).to_bytes(2, "little")
    checked += fields + b"RV\x01"
    return checked + bytes([-sum(checked) & 0xFF, TAG_END])


def _filler(up_to: int) -> bytes:
    """A vendor keyword so long that the next keyword's content starts at `up_to`."""
    blanks = up_to - 2 * HEAD
    if not 0 <= blanks < 0x100:
        raise EmulatorError("vital product data: no room for the version")
    return _keyword("V0", b" " * blanks)


def _resource(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + len(content).to_bytes(2, "little") + content


def _keyword(name: str, content: bytes) -> bytes:
    return name.encode() + bytes([len(content)]) + content
