"""Hostile servers against our client and our driver.

A call of the client succeeds or raises a VfioUserError, within a bound and without a lost
descriptor. A dump ends with a documented exit code, and the vmcore that it writes is valid.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from pyvfio_user import Client, VfioUserError
from tests.fuzz import command
from tests.fuzz.case import Broken, Case
from tests.fuzz.descriptors import KINDS, Descriptors
from tests.fuzz.proxy import HEADER_WORDS, WAYS, proxied
from vmcoredd import emu, vmcore
from vmcoredd.emu.server import served

DEADLINE = 0.3
BOUND = 10.0
"""Seconds for a whole case: a few deadlines, and a dump."""
WORDS = (0, 1, 2, 8, 9, 15, 16, 32, 256, 257, 4096, 65536, 1 << 20, 1 << 31, 0xFFFFFFFF)
ENTITIES = ("DEV_LOG", "CIM_QCFG", "REG_DUMP", "MEMINFO", "EDC0", "PM_STATS")
SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}


def make(random: Random) -> Case:
    """A case: what becomes of which replies, and what the client does meanwhile."""
    dumps = random.random() < 0.3
    most = random.choice((15, 15, 100, 5000)) if dumps else 12
    return {
        "plan": [_step(random, most) for _ in range(random.choice((1, 1, 1, 2, 5)))],
        "calls": [] if dumps else random.choices(list(CALLS), k=random.randrange(1, 9)),
        "entities": random.sample(ENTITIES, 2) if dumps else [],
    }


def _step(random: Random, most: int) -> Case:
    return {
        "at": random.randrange(most),
        "how": random.choice([*WAYS, "word", "word", "header", "header"]),
        "word": random.randrange(4, 16) if random.random() < 0.9 else random.choice((11, 12)),
        "field": random.choice(list(HEADER_WORDS)),
        "value": random.choice((*WORDS, random.getrandbits(32))),
        "seconds": random.choice((0.01, 0.05, 0.5)),
        "fds": random.choices(list(KINDS), k=random.choice((1, 2, 8, 9, 16))),
        "noise": random.randbytes(random.choice((1, 15, 16, 17, 100))).hex(),
    }


def _map(client: Client) -> None:
    for index, region in enumerate(client.regions):
        for area in range(len(region.areas)):
            client.mmap(index, area)[:16]


def _irq(client: Client) -> None:
    os.close(client.irq_eventfd(0))


def _dma(client: Client) -> None:
    descriptors = Descriptors()
    try:
        client.dma_map(descriptors("memory"), 0x10000, 0x10000)
        client.dma_unmap(0x10000, 0x10000)
    finally:
        descriptors.close()


CALLS: dict[str, Callable[[Client], object]] = {
    "info": lambda client: client.device_info,
    "regions": lambda client: client.regions,
    "irqs": lambda client: client.irqs,
    "read": lambda client: client.region_read(0, 0, 4),
    "read much": lambda client: client.region_read(2, 0, 3 << 20),
    "write": lambda client: client.region_write(2, 64, bytes(100)),
    "post": lambda client: client.region_write(2, 64, bytes(100), posted=True),
    "flush": lambda client: client.flush(),
    "config": lambda client: client.region_read(7, 0, 256),
    "map": _map,
    "irq": _irq,
    "dma": _dma,
    "reset": lambda client: client.reset(),
}


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Keeps a good server for the proxy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._good, self._bad = folder / "good.sock", folder / "bad.sock"
        self._card = emu.Card.load("t62100-cr", memory=SMALL, map_window=True)
        self._served = contextlib.ExitStack()
        self._served.enter_context(served(self._card, self._good, deadline=0.5))
        self._call(["read"], self._good)

    def __exit__(self, *_: object) -> None:
        self._served.close()

    def run(self, case: Case) -> None:
        """Runs a case."""
        begin = time.monotonic()
        with proxied(self._bad, self._good, case["plan"]):
            if case["calls"]:
                self._call(case["calls"], self._bad)
            else:
                self._dump(case["entities"])
        took = time.monotonic() - begin
        if took > BOUND:
            raise Broken(f"the client took {took:.1f} s")

    def _call(self, calls: list[str], path: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with contextlib.suppress(VfioUserError), Client(path, DEADLINE) as client:
            for call in calls:
                with contextlib.suppress(VfioUserError):
                    CALLS[call](client)
        self._check_descriptors(before)

    def _check_descriptors(self, before: int) -> None:
        """The server and the proxy close theirs a moment later."""
        end = time.monotonic() + 2
        while (count := len(os.listdir("/proc/self/fd"))) > before:
            if time.monotonic() > end:
                raise Broken(f"{count} descriptors open, {before} before")
            os.sched_yield()

    def _dump(self, entities: list[str]) -> None:
        output = self._folder / "vmcore"
        output.unlink(missing_ok=True)
        wanted = [word for name in entities for word in ("--entity", name)]
        options = ("--deadline", DEADLINE, "--json", "-o", output)
        done = command.run("dump", "--socket", self._bad, *wanted, *options).ended_with(0, 4, 5)
        if output.exists() != (done.code != 4):
            raise Broken(f"exit code {done.code}, output: {output.exists()}")
        if output.exists():
            with vmcore.Reader(output) as reader:
                if reader.damage or len(reader.device_dumps) != 1:
                    raise Broken(f"the vmcore is damaged: {reader.damage}")
