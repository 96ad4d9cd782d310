"""The scenes of a card, and the parts of a scenario, each made on first use."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cached_property
from random import Random

from vmcoredd.chip.le import DEFAULT_FILTER_MODE, ETHERTYPE_FILTER_MODE
from vmcoredd.emu.memory import Memories
from vmcoredd.emu.profile import Profile
from vmcoredd.emu.scenario.addresses import Identity, MacTable
from vmcoredd.emu.scenario.cim_queues import CimQueues
from vmcoredd.emu.scenario.memory_map import MemoryMap
from vmcoredd.emu.scenario.queues import Queues
from vmcoredd.emu.scenario.tids import TidTable
from vmcoredd.emu.scenario.traffic import Traffic
from vmcoredd.emu.scenario.transceivers import Transceiver

RSS_KEY_WORDS = 10


class Scene(StrEnum):
    """What has happened to a card before it is used."""

    meaning: str
    """What it is, for a user."""

    def __new__(cls, name: str, meaning: str = "") -> Scene:
        scene = str.__new__(cls, name)
        scene._value_, scene.meaning = name, meaning
        return scene

    CRASHED = "crashed", "a driver used the card, under traffic, until the machine crashed"
    FRESH = "fresh", "as firmware leaves the card after power-on: no driver has used it"
    RAISED = "raised", "holds what a dump says: no profile and no seed makes it"

    @classmethod
    def chosen(cls) -> list[Scene]:
        """Returns those that a user can choose."""
        return [scene for scene in cls if scene is not cls.RAISED]


class Still(Random):
    """Random numbers that are all zero."""

    def random(self) -> float:
        return 0.0

    def getrandbits(self, k: int, /) -> int:
        return 0


class Scenario:
    """One card's scenario."""

    def __init__(
        self, profile: Profile, seed: int, memories: Memories, scene: Scene = Scene.CRASHED
    ) -> None:
        self.profile, self.seed, self.memories, self.scene = profile, seed, memories, scene
        self.chip = profile.chip

    @property
    def crashed(self) -> bool:
        """Whether a driver has used the card."""
        return self.scene is Scene.CRASHED

    def random(self, part: str) -> Random:
        """Returns the random numbers for one part, whose name is part of the seed."""
        text = f"{self.profile.name}/{self.seed}/{part}"
        return Random(hashlib.sha256(text.encode()).digest())

    def activity(self, part: str) -> Random:
        """Returns the random numbers for what a driver's use leaves in a part; zeros if unused."""
        return self.random(part) if self.crashed else Still()

    @cached_property
    def identity(self) -> Identity:
        """Serial number and MAC addresses."""
        return Identity.make(self.profile, self.random("identity"))

    @cached_property
    def transceivers(self) -> tuple[Transceiver | None, ...]:
        """The modules of the ports; None for a port without a cage."""
        random = self.random("transceivers")
        return tuple(
            Transceiver.make(self.profile, random) for _ in range(self.profile.ports.count)
        )

    @cached_property
    def memory_map(self) -> MemoryMap:
        """The regions of adapter memory."""
        return MemoryMap.make(self.profile, self.memories)

    @cached_property
    def tid_table(self) -> TidTable:
        """The lookup engine's table: connections, servers and filters by TID."""
        if not self.crashed:
            return TidTable.unused(self.profile)
        return TidTable.make(self.profile, self.filter_mode, self.random("lookup"))

    @property
    def filter_mode(self) -> int:
        """The fields that filters can match, as TP_VLAN_PRI_MAP selects them.

        Unless the profile chooses, the driver of a crashed card has loaded Chelsio's default
        configuration file.
        """
        used = DEFAULT_FILTER_MODE if self.crashed else ETHERTYPE_FILTER_MODE
        return self.profile.filter_mode or used

    @property
    def boot_filter_mode(self) -> int:
        """The same after a reset. What firmware itself sets is good for `ethtool -N` and tc flower,
        which the mode of Chelsio's default configuration file is not (assumed)."""
        return self.profile.filter_mode or ETHERTYPE_FILTER_MODE

    @cached_property
    def mac_table(self) -> MacTable:
        """The packet switch's table of MAC addresses."""
        if not self.crashed:
            return MacTable.unused(self.profile)
        return MacTable.make(self.profile, self.identity, self.random("macs"))

    @cached_property
    def queues(self) -> Queues:
        """The driver's queues, and each function's share of queue ids."""
        if not self.crashed:
            return Queues.unused(self.profile)
        return Queues.make(self.profile, self.random("queues"))

    @cached_property
    def rss_key(self) -> tuple[int, ...]:
        """The key that firmware's configuration gives to the hash of received frames, in words."""
        random = self.random("rss key")
        return tuple(random.getrandbits(32) for _ in range(RSS_KEY_WORDS))

    @cached_property
    def cim_queues(self) -> CimQueues:
        """The firmware processor's queues."""
        if not self.crashed:
            return CimQueues.unused(self.profile)
        tids = [connection.tid for connection in self.tid_table.connections] or [0]
        return CimQueues.make(self.profile, tids, self.random("cim queues"))

    @cached_property
    def traffic(self) -> Traffic:
        """The traffic that passed through the ports."""
        if not self.crashed:
            return Traffic.none(self.profile)
        return Traffic.make(self.profile, self.random("traffic"))
