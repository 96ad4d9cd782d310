"""The firmware's state between commands: queues, interfaces, links, settings.

It is plain data, which a snapshot can copy.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import NamedTuple

from vmcoredd.chip.firmware import Eval, PortCaps, Retval
from vmcoredd.chip.firmware.port import LinkDown
from vmcoredd.emu.engine import EgressRing, IngressRing, InterfaceRow
from vmcoredd.emu.firmware.answers import Refused
from vmcoredd.emu.scenario.addresses import Mac

FLOW_CONTROL = PortCaps.FC_RX | PortCaps.FC_TX | PortCaps.PAUSE_802_3 | PortCaps.ASM_DIR_802_3
"""Without pause capabilities, the driver requests invalid ones (t4_hw.c, t4_link_acaps())."""
FEC = {
    PortCaps.SPEED_25G: PortCaps.FEC_RS | PortCaps.FEC_BASER_RS,
    PortCaps.SPEED_50G: PortCaps.FEC_RS | PortCaps.FEC_BASER_RS,
    PortCaps.SPEED_100G: PortCaps.FEC_RS,
}
"""Forward error correction by speed; the others have none (802.3, clauses 74 and 91)."""
SPEEDS = PortCaps((PortCaps.SPEED_400G << 1) - 1)


HISTORY = {"history": True}
"""The metadata of a field that stays when a fault is undone (emu/undo.py)."""


class Mode(Enum):
    """How the firmware responds to commands."""

    ALIVE = "alive"
    SLOW = "slow"
    """Replies once the driver has polled the mailbox `Firmware.SLOW_POLLS` times."""
    DEAD = "dead"
    """Takes commands and never replies."""
    ERROR = "error"
    """Has crashed, and PCIE_FW shows it."""


@dataclass(kw_only=True)
class Interface(InterfaceRow):
    """A virtual interface, with what the engine has no use for."""

    mac: bytes
    """The address that it was given."""


@dataclass(frozen=True)
class Address:
    """An entry of the MAC table, and the interface that it is of."""

    viid: int
    mac: Mac
    persistent: bool
    """Whether it stays when the interface's addresses are freed together."""


class Executed(NamedTuple):
    """A mailbox command that the firmware has answered."""

    pf: int
    opcode: int
    name: str
    """Of its layout; empty if the firmware does not know it."""
    retval: int


class LocalIpv6(NamedTuple):
    """A function's use of a local IPv6 address (CLIP)."""

    pf: int
    address: bytes


@dataclass
class Link:
    """A port's link."""

    speed: PortCaps
    """Its only speed."""
    wanted: int
    """PortCaps as the driver set them."""
    up: bool = True
    broken: LinkDown | None = None
    """Why it stays down, whatever the driver asks for."""
    pulled: bool = False
    """Whether its cable is out."""

    @classmethod
    def at(cls, gigabits: int, *, up: bool) -> Link:
        """Returns a link at that speed: up, with pause frames in both directions, or as it is until
        a driver configures it."""
        speed = PortCaps[f"SPEED_{gigabits}G"]
        wanted = int(speed | PortCaps.FC_RX | PortCaps.FC_TX) if up else 0
        return cls(speed, wanted, up)

    @property
    def configured(self) -> bool:
        """Whether a driver has set it, and it works; it is up if the peer's is as well.

        A setting without any speed is for the only one: where nothing is negotiated, Linux names
        none before it has heard of one (t4_hw.c, t4_link_acaps()).
        """
        speeds = self.wanted & SPEEDS
        named = bool(speeds & self.speed) if speeds else self.wanted != 0
        return named and self.broken is None and not self.pulled

    @property
    def capabilities(self) -> PortCaps:
        """The port's capabilities, but for negotiation, which depends on the module."""
        return self.speed | FLOW_CONTROL | FEC.get(self.speed, PortCaps(0))

    @property
    def correction(self) -> int:
        """The kinds of forward error correction that are asked for: at first, the strongest."""
        fec = FEC.get(self.speed, PortCaps(0))
        return self.wanted & fec if self.wanted & SPEEDS else PortCaps.FEC_RS & fec

    @property
    def attributes(self) -> int:
        """The speed, pause frames and error correction in use; 0 if the link is down."""
        if not self.up:
            return 0
        pause = self.wanted & (PortCaps.FC_RX | PortCaps.FC_TX)
        return self.speed | pause | self.correction


@dataclass
class FirmwareState:
    """The whole state."""

    mode: Mode = Mode.ALIVE
    eval: Eval = Eval.CRASH
    """What kind of error made the mode ERROR."""
    halted: bool = False
    initialised: bool = True
    master: int | None = None
    ticks: int = field(default=0, metadata=HISTORY)
    """The firmware's clock, in core clock cycles; each command advances it."""
    last_command: Executed | None = field(default=None, metadata=HISTORY)
    logged: int = field(default=0, metadata=HISTORY)
    """Records written to the device log so far."""
    log_is_shown: bool = True
    """Whether PCIE_FW_PF shows the location of the device log."""
    caps_agreed: bool = True
    filter_mask: int | None = None
    """The fields of the filter mode that hash filters have to match, as a configuration file says;
    None: all."""
    interfaces: dict[int, Interface] = field(default_factory=dict)
    ingress: dict[int, IngressRing] = field(default_factory=dict)
    egress: dict[int, EgressRing] = field(default_factory=dict)
    """Egress queues and free lists."""
    links: list[Link] = field(default_factory=list)
    macs: dict[int, Address] = field(default_factory=dict)
    """Entries of the MAC table that drivers requested, by index."""
    local_ipv6: dict[LocalIpv6, int] = field(default_factory=dict)
    """How often each function's driver uses a local address."""
    host_pages: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Bus addresses of the host memory that a function's driver gave to the card (HMA)."""
    clock: int = 0
    """The PTP clock, in nanoseconds."""


def take(used: Container[int], first: int, count: int, what: str) -> int:
    """Returns the lowest free number of a range; Refused (ENOSPC) if none is left."""
    return take_several(used, first, count, what, 1)[0]


def take_several(used: Container[int], first: int, count: int, what: str, wanted: int) -> list[int]:
    """Returns the lowest free numbers of a range; Refused (ENOSPC) if too few are left."""
    free = (number for number in range(first, first + count) if number not in used)
    found = list(islice(free, wanted))
    if len(found) < wanted:
        raise Refused(Retval.ENOSPC, f"no {what} is free")
    return found
