"""Modules: what is plugged into a card's ports."""

from __future__ import annotations

from vmcoredd.chip.firmware import PortModule
from vmcoredd.emu.profile import Profile

COPPER = ("QSFP", "CR4_QSFP", "CR_QSFP", "CR2_QSFP", "SFP28")
"""The types of port that a passive copper cable is plugged into here; others have an SR module."""


def module_of(profile: Profile) -> PortModule:
    """Returns the type of module in a card's ports."""
    return PortModule.TWINAX_PASSIVE if profile.ports.type in COPPER else PortModule.SR
