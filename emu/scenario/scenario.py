"""The parts of a card's state, each made when it is first asked for."""

from __future__ import annotations

import hashlib
from functools import cached_property
from random import Random

from vmcoredd.emu.memory import Memories
from vmcoredd.emu.profile import Profile
from vmcoredd.emu.scenario.cim_queues import CimQueues
from vmcoredd.emu.scenario.identity import Identity
from vmcoredd.emu.scenario.macs import Macs
from vmcoredd.emu.scenario.memory_map import MemoryMap
from vmcoredd.emu.scenario.queues import Queues
from vmcoredd.emu.scenario.tids import Table
from vmcoredd.emu.scenario.traffic import Traffic


class Scenario:
    """What is true of one card; a pure function of profile and seed."""

    def __init__(self, profile: Profile, seed: int, memories: Memories) -> None:
        self.profile, self.seed, self.memories = profile, seed, memories
        self.chip = profile.chip

    def random(self, part: str) -> Random:
        """A stream of random numbers of its own for a part of the state."""
        text = f"{self.profile.name}/{self.seed}/{part}"
        return Random(hashlib.sha256(text.encode()).digest())

    @cached_property
    def identity(self) -> Identity:
        """Serial number and MAC addresses."""
        return Identity.make(self.profile, self.random("identity"))

    @cached_property
    def memory_map(self) -> MemoryMap:
        """Which regions the adapter's memory is divided into."""
        return MemoryMap.make(self.profile, self.memories)

    @cached_property
    def lookup(self) -> Table:
        """The lookup engine's table: connections, servers, filters, and how TIDs are divided."""
        return Table.make(self.profile, self.random("lookup"))

    @cached_property
    def macs(self) -> Macs:
        """The packet switch's table of MAC addresses."""
        return Macs.make(self.profile, self.identity, self.random("macs"))

    @cached_property
    def queues(self) -> Queues:
        """The driver's queues, and every function's share of queues."""
        return Queues.make(self.profile, self.random("queues"))

    @cached_property
    def cim_queues(self) -> CimQueues:
        """The firmware processor's queues."""
        tids = [connection.tid for connection in self.lookup.connections] or [0]
        return CimQueues.make(self.profile, tids, self.random("cim queues"))

    @cached_property
    def traffic(self) -> Traffic:
        """What passed through the ports."""
        return Traffic.make(self.profile, self.random("traffic"))
