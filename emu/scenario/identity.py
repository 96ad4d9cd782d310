"""Who the card is: serial number and MAC addresses."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from vmcoredd.emu.profile import Profile

OUI = bytes.fromhex("000743")
"""Chelsio Communications."""


@dataclass(frozen=True)
class Identity:
    """What is printed on the card's label."""

    serial: str
    base_mac: bytes
    """The MAC of port 0; those of the other ports follow it."""

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Identity:
        """A label; the profile's serial number is used if it has one."""
        serial = profile.vpd.serial or f"PT{random.randrange(10**8):08}"
        low = random.randrange(0x100000) << 4
        return cls(serial, OUI + low.to_bytes(3, "big"))

    def mac(self, port: int) -> bytes:
        """The MAC of a port."""
        return (int.from_bytes(self.base_mac, "big") + port).to_bytes(6, "big")
