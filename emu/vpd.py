"""Vital product data: the 2 KiB of the card's EEPROM that PCI shows.

On T5 and T6 the data start with an identifier string at 0x400, where the driver reads first
(t4_hw.c, t4_get_raw_vpd_params()). A copy is at 0, for other software.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcoredd.chip import vpd
from vmcoredd.chip.pci import PF
from vmcoredd.emu.errors import EmuError
from vmcoredd.emu.profile import Profile
from vmcoredd.emu.scenario.addresses import Identity

VERSION_AT = vpd.virtual_address(vpd.VERSION_ADDRESS, PF) - vpd.BASE
FILLER, VERSION = "V0", "V1"
"""Vendor keywords (assumed): blanks as a filler, and the two digits of the version."""


class Labelled(NamedTuple):
    """What the data say of a card, in bytes."""

    id: bytes
    serial: bytes
    part: bytes
    mac: bytes
    version: bytes


def vpd_image(profile: Profile, identity: Identity) -> bytes:
    """Returns the whole 2 KiB of a card."""
    label = Labelled(
        profile.vpd.id.encode(),
        identity.serial.ljust(vpd.SN_BYTES).encode(),
        profile.vpd.part.ljust(vpd.PN_BYTES).encode(),
        identity.base_mac.hex().upper().encode(),
        f"{profile.vpd.version:02}".encode(),
    )
    return vpd_of(label)


def vpd_of(label: Labelled) -> bytes:
    """Returns the whole 2 KiB that say this; EmuError if there is no room for it."""
    data = _resources(label).ljust(vpd.READ_BYTES, b"\0")
    return (data + data).ljust(vpd.WINDOW_BYTES, b"\xff")


def _resources(label: Labelled) -> bytes:
    front = _resource(vpd.TAG_ID_STRING, label.id)
    fields = b"".join(
        (
            _keyword("PN", label.part),
            _keyword("EC", b"0".ljust(vpd.PN_BYTES)),
            _keyword("SN", label.serial),
            _keyword("NA", label.mac),
        )
    )
    fields += _filler(VERSION_AT - len(front) - vpd.LARGE_TAG_BYTES - len(fields))
    fields += _keyword(VERSION, label.version[: vpd.VERSION_BYTES].ljust(vpd.VERSION_BYTES, b"\0"))
    checked = (
        front
        + bytes([vpd.TAG_READ_ONLY])
        + (len(fields) + vpd.KEYWORD_BYTES + 1).to_bytes(2, "little")
    )
    checked += fields + b"RV\x01"
    return checked + bytes([-sum(checked) & 0xFF, vpd.TAG_END])


def _filler(up_to: int) -> bytes:
    """Returns a vendor keyword that makes the next keyword's content start at `up_to`."""
    blanks = up_to - 2 * vpd.KEYWORD_BYTES
    if not 0 <= blanks < 0x100:
        raise EmuError("vital product data: no room for the version")
    return _keyword(FILLER, b" " * blanks)


def _resource(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + len(content).to_bytes(2, "little") + content


def _keyword(name: str, content: bytes) -> bytes:
    return name.encode() + bytes([len(content)]) + content
