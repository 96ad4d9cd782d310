"""The ports' links: what they can do, and whether they are up."""

from __future__ import annotations

from vmcoredd.chip.firmware import PortCaps
from vmcoredd.emu.firmware.state import Link
from vmcoredd.emu.profile import Profile

FLOW_CONTROL = PortCaps.FC_RX | PortCaps.FC_TX | PortCaps.PAUSE_802_3 | PortCaps.ASM_DIR_802_3
"""Without pause among the capabilities the driver asks for nonsense (t4_hw.c, t4_link_acaps())."""
FEC_FROM = 25
"""Gb/s; slower links have no forward error correction."""


def speed(profile: Profile) -> PortCaps:
    """The capability that says the ports' speed."""
    return PortCaps[f"SPEED_{profile.ports.speed}G"]


def capabilities(profile: Profile) -> PortCaps:
    """What a port can do."""
    caps = speed(profile) | FLOW_CONTROL
    if profile.ports.speed >= FEC_FROM:
        caps |= PortCaps.FEC_RS | PortCaps.FEC_BASER_RS
    return caps


def attributes(profile: Profile, link: Link) -> int:
    """What the link has come to: speed and pause, or nothing."""
    if not link.up:
        return 0
    return speed(profile) | link.wanted & (PortCaps.FC_RX | PortCaps.FC_TX)


def initial(profile: Profile) -> list[Link]:
    """Every port is connected."""
    wanted = int(speed(profile) | PortCaps.FC_RX | PortCaps.FC_TX)
    return [Link(up=True, wanted=wanted) for _ in range(profile.ports.count)]
