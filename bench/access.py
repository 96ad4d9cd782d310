"""Single accesses: a card's server against a plain one, one at a time against many in flight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from pyvfio_user import SPIN, Client
from vmcoredd.bench.load import Load
from vmcoredd.bench.machine import Placement, on_cpus, placements
from vmcoredd.bench.measure import Row, Run, Series, Target, interleave
from vmcoredd.bench.processes import CardServer, plain_server, serving

GROUP = "one access"
SINGLE, MANY = 1_000, 50_000
"""Accesses per measurement: waited for one by one, and many in flight."""
AS_PLAIN = Target(1.05, at_least=False)
PIPELINED = {"two cpus": Target(10), "one cpu": Target(1.5)}
DEPTHS = tuple(1 << power for power in range(13))


def measure(rounds: int) -> Iterator[Row]:
    """Measures each placement. Clients and servers spin only in rows that say so."""
    for placement in placements():
        yield from _placed(placement, rounds)


def _placed(placement: Placement, rounds: int) -> Iterator[Row]:
    with ExitStack() as stack:
        ours = stack.enter_context(serving(CardServer(spin=0.0, cpus=placement.server)))
        spinning = stack.enter_context(serving(CardServer(spin=SPIN, cpus=placement.server)))
        plain = stack.enter_context(plain_server(placement.server))
        stack.enter_context(on_cpus(placement.client))
        ours_io = Load(stack.enter_context(Client(ours, spin=0.0)))
        spin_io = Load(stack.enter_context(Client(spinning, spin=SPIN)))
        plain_io = Load(stack.enter_context(Client(plain, spin=0.0)))
        runs: dict[str, Run] = {
            "plain": lambda: plain_io.reads(SINGLE, depth=1),
            "ours": lambda: ours_io.reads(SINGLE, depth=1),
            "spinning": lambda: spin_io.reads(SINGLE, depth=1),
            "many": lambda: ours_io.reads(MANY),
            "plain, many": lambda: plain_io.reads(MANY),
            "posted": lambda: ours_io.writes(MANY),
        }
        took = interleave(runs, rounds)
    yield from _rows(placement, {name: series.scaled(1e6) for name, series in took.items()})


def _rows(placement: Placement, took: dict[str, Series]) -> Iterator[Row]:
    plain, ours = took["plain"], took["ours"]
    one, bare = f"waited for, {ours.median:.1f} us", f"a plain C server, {plain.median:.1f} us"
    name = placement.name
    speedup = ours.over(took["many"])
    yield Row(GROUP, f"read, {name}", ours, "us", ours.over(plain), bare, AS_PLAIN)
    yield Row(GROUP, f"read, many, {name}", took["many"], "us", speedup, one, PIPELINED.get(name))
    many = f"a plain C server, {took['plain, many'].median:.2f} us"
    yield Row(
        GROUP,
        f"read, many, {name}: beside plain",
        took["many"],
        "us",
        took["many"].over(took["plain, many"]),
        many,
    )
    yield Row(GROUP, f"posted write, {name}", took["posted"], "us", ours.over(took["posted"]), one)
    spun = took["spinning"]
    yield Row(GROUP, f"read, both spin, {name}", spun, "us", ours.over(spun), one)


def depths(rounds: int) -> dict[str, dict[int, Series]]:
    """Returns accesses per second by number in flight, by placement and spin."""
    curves = {}
    for placement in placements():
        for spin, how in ((0.0, "sleeping"), (SPIN, "spinning")):
            server = CardServer(spin=spin, cpus=placement.server)
            with (
                serving(server) as path,
                on_cpus(placement.client),
                Client(path, spin=spin) as client,
            ):
                curves[f"{placement.name}, {how}"] = _by_depth(Load(client), rounds)
    return curves


def _by_depth(load: Load, rounds: int) -> dict[int, Series]:
    def rate(depth: int) -> Run:
        accesses = min(1_000 * depth, MANY // 2)
        return lambda: 1 / load.reads(accesses, depth=depth)

    return interleave({depth: rate(depth) for depth in DEPTHS}, rounds)
