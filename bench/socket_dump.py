"""A complete dump over a socket: against one access at a time, and against the floor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from pyvfio_user import SPIN
from vmcoredd import emu
from vmcoredd.bench.dumps import MEMORIES, buffer, compression_alone, dump, reads, sampled_read
from vmcoredd.bench.floor import Unavoidable, unavoidable
from vmcoredd.bench.load import Link, link
from vmcoredd.bench.machine import Placement, anywhere, on_cpus, placements
from vmcoredd.bench.measure import Row, Run, Series, Target, interleave, timed, total
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.driver import open_card

GROUP = "dump over the socket"
LARGE_LE: dict[str, Any] = {"tables": {"hash_filters": True, "hash_tids": 32768}}
SPEEDUP = {"two cpus": Target(100), "one cpu": Target(30)}
FLOOR = Target(1.5, at_least=False)
OVERLAP = Target(1.2, at_least=False)


@dataclass(frozen=True)
class Variant:
    """A card and its profile."""

    name: str
    card: str = "t62100-cr"
    mc0: int = 8
    large_le: bool = False
    judged: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """Values that replace those of the card's profile."""
        return {"memory": {"mc0": self.mc0}} | (LARGE_LE if self.large_le else {})


VARIANTS = (
    Variant("T6, 8 MiB", judged=True),
    Variant("T6, 24 MiB", mc0=24),
    Variant("T6, large LE table", large_le=True),
    Variant("T5, 8 MiB", card="t520-cr"),
)


def measure(rounds: int, *, full: bool) -> Iterator[Row]:
    """Measures each variant in each placement, and compression.

    Unless `full`, one access at a time is sampled and scaled to the reads of the whole dump.
    """
    for placement in placements():
        for variant in VARIANTS:
            yield from _variant(variant, placement, rounds, full)
    for placement in (*placements(), anywhere()):
        yield from _compressed(placement, rounds)


def _variant(variant: Variant, placement: Placement, rounds: int, full: bool) -> Iterator[Row]:
    server = CardServer(variant.card, variant.overrides, spin=SPIN, cpus=placement.server)
    plain = CardServer(variant.card, variant.overrides, spin=0.0, cpus=placement.server)
    local = open_card(emu.Card.load(variant.card, **variant.overrides))
    with local, serving(server) as path, serving(plain) as slow, on_cpus(placement.client):
        needs, links = unavoidable(path), list[Link]()
        accesses = reads(dump(path).counts)

        def floor() -> float:
            links.append(link(path, spin=SPIN))
            return needs.floor(links[-1])

        runs: dict[str, Run] = {
            "dump": lambda: dump(path, spin=SPIN).seconds,
            "one at a time": _one_at_a_time(slow, accesses, full),
            "floor": floor,
            "sent": lambda: needs.sent(links[-1]),
            "in process": lambda: local.collect(buffer(), compress="none").seconds,
        }
        took = interleave(runs, rounds)
    yield from _rows(variant, placement, took, accesses, needs, full)


def _one_at_a_time(path: Path, accesses: int, full: bool) -> Run:
    """Returns a run of one access at a time. A whole dump takes a minute, so it is measured once
    for all rounds."""
    if full:
        return cache(lambda: dump(path, pipelined=False).seconds)
    return lambda: sampled_read(path) * accesses


def _rows(
    variant: Variant,
    placement: Placement,
    took: dict[str, Series],
    accesses: int,
    needs: Unavoidable,
    full: bool,
) -> Iterator[Row]:
    what = f"{variant.name}, {placement.name}"
    single, made, floor = took["one at a time"], took["dump"], took["floor"]
    judged = SPEEDUP.get(placement.name) if variant.judged else None
    how = "a whole dump, once" if full else f"sampled, for {accesses:,} reads"
    yield Row(
        GROUP,
        what,
        made,
        "s",
        single.over(made),
        f"one access at a time, {single.median:.1f} s",
        judged,
        how,
    )
    needed = f"{needs.reads:,} reads, {needs.writes:,} writes, {needs.waits} waits"
    sent, own = took["sent"], took["in process"]
    yield Row(
        GROUP,
        f"{what}: over the floor",
        made,
        "s",
        made.over(floor),
        f"floor, {floor.median:.3f} s",
        FLOOR if variant.judged else None,
        needed,
    )
    yield Row(
        GROUP,
        f"{what}: over what is sent",
        made,
        "s",
        made.over(sent),
        f"messages, bytes and waits, {sent.median:.3f} s",
        note=f"{needs.write_runs:,} messages for the writes",
    )
    yield Row(
        GROUP,
        f"{what}: over what is sent and in process",
        made,
        "s",
        made.over(total([sent, own])),
        f"that, and {own.median:.3f} s in process",
        note="collector and emulated card do their own work besides",
    )


def _compressed(placement: Placement, rounds: int) -> Iterator[Row]:
    """Measures zlib against none; compression uses as many threads as the client has CPUs."""
    server = CardServer(spin=SPIN, cpus=placement.server)
    with serving(server) as path, on_cpus(placement.client):
        raw, registers = buffer(), list[float]()
        dump(path, into=raw)

        def collect() -> float:
            made = dump(path, spin=SPIN).report
            rest = (one.seconds for one in made.entities if one.name not in MEMORIES)
            registers.append(sum(rest))
            return made.seconds

        def in_order() -> float:
            return registers[-1] + timed(partial(compression_alone, raw, MEMORIES))

        runs: dict[str, Run] = {
            "none": collect,
            "in order": in_order,
            "alone": lambda: timed(partial(compression_alone, raw)),
            "zlib": lambda: dump(path, spin=SPIN, compress="zlib").seconds,
        }
        took = interleave(runs, rounds)
    slower = Series(tuple(map(max, took["none"].values, took["alone"].values)))
    against = f"slower of collection {took['none'].median:.2f} s, zlib {took['alone'].median:.2f} s"
    target = OVERLAP if placement.name == "two cpus" else None
    what = f"T6, 8 MiB, zlib, {placement.name}"
    yield Row(GROUP, what, took["zlib"], "s", took["zlib"].over(slower), against, target)
    order = took["in order"]
    yield Row(
        GROUP,
        f"{what}: over what the order allows",
        took["zlib"],
        "s",
        took["zlib"].over(order),
        f"registers, then memory's zlib, {order.median:.2f} s",
        note="memories come last: nothing to compress before",
    )


def speedups(rows: Iterable[Row]) -> dict[str, dict[str, Series]]:
    """Returns how many times faster than one access at a time, by placement and variant."""
    found: dict[str, dict[str, Series]] = {}
    for placement in placements():
        for variant in VARIANTS:
            for row in rows:
                if row.what == f"{variant.name}, {placement.name}" and row.ratio:
                    found.setdefault(placement.name, {})[variant.name] = row.ratio
    return found
