"""What the firmware remembers between commands; plain data, so that a snapshot can copy it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Mode(Enum):
    """How the firmware behaves."""

    ALIVE = "alive"
    SLOW = "slow"
    """It answers, but only after the driver has looked `Firmware.PATIENCE` times."""
    DEAD = "dead"
    """It takes the mailbox and never gives it back."""
    ERROR = "error"
    """It has crashed: PCIE_FW says so."""


@dataclass
class Queue:
    """An allocated queue; `kind` is iq, fl, eth, ctrl or ofld."""

    kind: str
    pf: int
    address: int
    size: int


@dataclass
class Interface:
    """A virtual interface."""

    pf: int
    port: int
    mac: bytes
    rss_base: int
    enabled: bool = False
    mtu: int = 1500
    promiscuous: bool = False
    default_queue: int = 0


@dataclass
class Link:
    """A port's link: what was asked for, and whether it is up."""

    up: bool
    wanted: int
    """PortCaps as the driver set them."""


@dataclass
class FirmwareState:
    """All of it."""

    mode: Mode = Mode.ALIVE
    initialised: bool = True
    master: int | None = None
    ticks: int = 0
    """The firmware's clock, in core clock cycles; it moves with each command."""
    logged: int = 0
    """Records in the device log so far."""
    log_is_shown: bool = True
    """Whether PCIE_FW_PF says where the device log is."""
    caps_agreed: bool = True
    interfaces: dict[int, Interface] = field(default_factory=dict)
    ingress: dict[int, Queue] = field(default_factory=dict)
    egress: dict[int, Queue] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    macs: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    """Entries of the MAC table that drivers asked for: interface and address by index."""
    local_ipv6: dict[bytes, int] = field(default_factory=dict)
    """Users of each local address."""
    clock: int = 0
    """The precision clock, in nanoseconds."""
    settings: dict[int, int] = field(default_factory=dict)
    """Parameters that drivers have written, by id."""
