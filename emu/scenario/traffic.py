"""The traffic that passed through the card's ports since its statistics were cleared."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from vmcoredd.emu.profile import Profile

SIZES = (64, 65, 128, 256, 512, 1024, 1519)
"""Bytes of the smallest frame in each size class (MPS_PORT_STAT_*_64B ... _1519B_MAX)."""


@dataclass(frozen=True)
class Direction:
    """Frames in one direction through a port."""

    by_size: tuple[int, ...]
    """Frames in each class of `SIZES`."""
    octets: int
    multicast: int
    broadcast: int
    errors: int
    drops: int
    pauses: int

    @property
    def frames(self) -> int:
        """All frames."""
        return sum(self.by_size)

    @property
    def unicast(self) -> int:
        """Frames to a single station."""
        return self.frames - self.multicast - self.broadcast


@dataclass(frozen=True)
class PortTraffic:
    """Frames in both directions through a port."""

    received: Direction
    sent: Direction


@dataclass(frozen=True)
class TcpTraffic:
    """Segments of offloaded connections, over IPv4 or IPv6."""

    received: int
    sent: int
    resent: int
    resets: int


@dataclass(frozen=True)
class Traffic:
    """Frames of all ports, and TCP segments of the transport processor."""

    ports: tuple[PortTraffic, ...]
    tcp4: TcpTraffic
    tcp6: TcpTraffic

    @classmethod
    def none(cls, profile: Profile) -> Traffic:
        """Returns no traffic: the statistics have just been cleared."""
        idle = Direction((0,) * len(SIZES), 0, 0, 0, 0, 0, 0)
        tcp = TcpTraffic(0, 0, 0, 0)
        return cls((PortTraffic(idle, idle),) * profile.ports.count, tcp, tcp)

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Traffic:
        """Makes a busy day's traffic: mostly small and full-sized frames, very few errors."""
        ports = [
            PortTraffic(_direction(random), _direction(random)) for _ in range(profile.ports.count)
        ]
        frames = sum(port.received.frames for port in ports)
        return cls(tuple(ports), _tcp(frames // 4, random), _tcp(frames // 32, random))


def _direction(random: Random) -> Direction:
    weights = (30, 12, 8, 5, 6, 14, 100)
    by_size = tuple(random.randrange(1, weight << 20) for weight in weights)
    frames = sum(by_size)
    octets = sum(count * size for count, size in zip(by_size, SIZES, strict=True))
    return Direction(
        by_size=by_size,
        octets=octets,
        multicast=random.randrange(frames // 500),
        broadcast=random.randrange(frames // 2000),
        errors=random.randrange(4),
        drops=random.randrange(64),
        pauses=random.randrange(256),
    )


def _tcp(segments: int, random: Random) -> TcpTraffic:
    return TcpTraffic(
        received=segments,
        sent=segments - random.randrange(segments // 16),
        resent=random.randrange(segments // 4096 + 1),
        resets=random.randrange(64),
    )
