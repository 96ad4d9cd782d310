"""Adapters that fail while they are dumped, beside a healthy one.

The vmcore is always written, is valid, has all of the healthy adapter, and every decoder decodes or
refuses what the failing one gave. An adapter whose registers read all ones is not waited for.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import command
from tests.fuzz.case import Broken, Case
from tests.fuzz.failing_card import SPOILS, FailingServer
from tests.fuzz.small_card import decode, good, profile
from vmcoredd import cudbg, emu, vmcore
from vmcoredd.emu.profile import profiles
from vmcoredd.emu.server import running

HEALTHY = "healthy"
GONE_SECONDS = 5.0
"""A bound on the dump of an adapter that goes: as long as one of its longest polls."""
BAR0_END = 0x7FFFF


def make(random: Random) -> Case:
    """A case: a card, and how it fails."""
    low = random.choice((0, 0, 0, random.randrange(BAR0_END)))
    return {
        "card": random.choice(profiles()),
        "seed": random.getrandbits(32),
        "profile": _profile(random),
        "failure": {
            "how": random.choice(list(SPOILS)),
            "after": random.choice((0, 5, 13, 40, 100, 1000, 10_000, random.randrange(60_000))),
            "low": low,
            "high": BAR0_END if random.random() < 0.7 else min(low + 0x2000, BAR0_END),
            "chance": random.choice((1, 1, 0.5, 0.01, 0.0005)),
            "config": random.random() < 0.3,
            "seed": random.getrandbits(32),
        },
        "compress": random.choice(("zlib", "none")),
    }


def _profile(random: Random) -> Case:
    edc = random.choice((1, 1, 2, 3))
    return {
        "memory": {"edc0": edc, "edc1": edc, "mc0": random.choice((1, 2, 5)), "mc1": 0, "hma": 0},
        "ports": {"count": random.choice((1, 2))},
        "tables": {"connections": random.choice((0, 24, 512)), "filters": random.choice((0, 64))},
        "queues": {"per_port": random.choice((1, 4, 16)), "obq_size": random.choice((1, 8))},
        "card": {"revision": random.choice((0, 1, 15))},
    }


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Dumps a healthy card alone, to know what is due."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._card = profile(folder)
        self._due = {compress: self._alone(compress) for compress in ("zlib", "none")}

    def _alone(self, compress: str) -> set[str]:
        """The entities of a healthy card; QDESC finds no room in a dump without compression."""
        path = self._folder / compress
        options = ("--name", HEALTHY, "--compress", compress, "-o", path)
        code = 0 if compress == "zlib" else 5
        command.run("dump", "--card", self._card, *options).ended_with(code)
        with vmcore.Reader(path) as reader:
            return good(cudbg.Dump(reader.payload(reader.device_dumps[0].index)))

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, case: Case) -> None:
        """Dumps the failing card of a case and the healthy one into one vmcore."""
        card = emu.Card.load(case["card"], case["seed"], **case["profile"])
        path, output = self._folder / "failing.sock", self._folder / "vmcore"
        output.unlink(missing_ok=True)
        with FailingServer(path, card, case["failure"]) as server, running(server):
            names = ("--name", "failing", "--name", HEALTHY)
            options = ("--compress", case["compress"], "--deadline", 5, "--json", "-o", output)
            done = command.run(
                "dump", "--socket", path, "--card", self._card, *names, *options
            ).ended_with(0, 5)
        report = json.loads(done.out)
        self._check(output, report, self._due[case["compress"]])
        if _goes(case["failure"]):
            _check_seconds(report["adapters"][0])

    def _check(self, output: Path, report: Any, due: set[str]) -> None:
        with vmcore.Reader(output) as reader:
            if reader.damage:
                raise Broken(f"the vmcore is damaged: {reader.damage}")
            dumps = {n.name: cudbg.Dump(reader.payload(n.index)) for n in reader.device_dumps}
        if missing := due - good(dumps[HEALTHY]):
            raise Broken(f"the healthy adapter lost {', '.join(sorted(missing))}")
        made = [item["name"] for item in report["adapters"] if item["good"] is not None]
        if made != list(dumps):
            raise Broken(f"the report tells of {made}, the vmcore has {list(dumps)}")
        if "failing" in dumps:
            decode(dumps["failing"])


def _goes(failure: Case) -> bool:
    """Whether all registers read all ones in the end."""
    whole = failure["low"] == 0 and failure["high"] == BAR0_END and failure["chance"] == 1
    return bool(whole and failure["how"] == "ones")


def _check_seconds(adapter: Any) -> None:
    seconds = adapter["elapsed_seconds"] or 0.0
    if seconds > GONE_SECONDS:
        raise Broken(f"the dump of an adapter that was gone took {seconds} s")
