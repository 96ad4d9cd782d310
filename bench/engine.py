"""The packet engine, from a driver's rings through two ports of a card to a driver's rings.

How fast by size of frame and number of queues, in process and over a socket, against memcpy() of
the same bytes; and what each step costs: the difference between traffic with it and without.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from vmcoredd.bench.hosts import Host, at_socket, in_process
from vmcoredd.bench.machine import children_seconds, on_cpus, placements
from vmcoredd.bench.measure import Row, Run, Series, interleave
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.bench.rings import CARD, WIRES, Rings
from vmcoredd.bench.traffic import FCS, Traffic
from vmcoredd.emu import Card, wires
from vmcoredd.plural import exact

GROUP, STEPS = "packet engine, ring to ring", "packet engine: what a step costs"
FRAMES = 20_000
"""Of a measurement, about; and as many before it."""
SIZES = (64, 128, 256, 512, 1024, 1518)
"""Bytes of frames, with FCS."""
PACKET = Traffic(65226, segments=True)
QUEUES = (1, 2, 4, 8, 16)
LOCAL, REMOTE = "in process", "over a socket"

Curves = dict[str, dict[int, Series]]


class Engine:
    """The measurements; the curves are there once the rows are."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self.sizes: Curves = {}
        """Frames per second by bytes of a frame."""
        self.queues: Curves = {}
        """Frames per second by queues."""

    def rows(self) -> Iterator[Row]:
        """Measures all."""
        placement = placements()[0]
        with ExitStack() as stack:
            card = Card.load(CARD, scene="fresh")
            wires.plug(WIRES, {"": card})
            server = CardServer(CARD, scene="fresh", wires=WIRES, cpus=placement.server)
            path = stack.enter_context(serving(server))
            stack.enter_context(on_cpus(placement.client))
            local = stack.enter_context(in_process(card))
            remote = stack.enter_context(at_socket(path))
            for name, host in ((LOCAL, local), (REMOTE, remote)):
                yield from self._by_size(name, host)
                yield from self._by_queues(name, host)
            for length in (60, 1514):
                yield from _steps(local, Traffic(length), 3 * self._rounds)

    def _by_size(self, name: str, host: Host) -> Iterator[Row]:
        loads = {exact(size, "byte"): Traffic(size - FCS) for size in SIZES} | {
            "64 KiB TSO": PACKET
        }
        runs = {what: partial(_speed, host, traffic) for what, traffic in loads.items()}
        copies = {f"memcpy {what}": partial(_copy, host, one) for what, one in loads.items()}
        took = interleave(runs | copies, self._rounds)
        self.sizes[name] = {}
        for what, traffic in loads.items():
            each, copy = took[what], took[f"memcpy {what}"]
            self.sizes[name][traffic.length + FCS] = _rate(each)
            yield Row(
                GROUP, f"{what}, {name}", each.scaled(1e9), "ns/frame", each.over(copy),
                f"memcpy, {copy.median * 1e9:.0f} ns", note=_speeds(each, traffic),
            )  # fmt: skip
        yield from self._server(name, host, loads)

    def _server(self, name: str, host: Host, loads: dict[str, Traffic]) -> Iterator[Row]:
        """Measures the server's own processor time, which other load changes little."""
        if name != REMOTE:
            return
        for what in ("64 bytes", "64 KiB TSO"):
            used = interleave({what: partial(_processor, host, loads[what])}, self._rounds)[what]
            label = f"{what}, {name}: the server's processor time"
            yield Row(GROUP, label, used.scaled(1e9), "ns/frame")

    def _by_queues(self, name: str, host: Host) -> Iterator[Row]:
        for kind, traffic in (("64 bytes", Traffic(60)), ("64 KiB TSO", PACKET)):
            runs = {n: partial(_speed, host, replace(traffic, queues=n)) for n in QUEUES}
            took = interleave(runs, self._rounds)
            self.queues[f"{kind}, {name}"] = {n: _rate(took[n]) for n in QUEUES}
            for n in QUEUES[1:]:
                label, one = f"{kind}, {exact(n, 'queue')}, {name}", took[1]
                against = f"one queue, {one.median * 1e9:.0f} ns"
                yield Row(GROUP, label, took[n].scaled(1e9), "ns/frame", took[n].over(one), against)


def _rings(host: Host, traffic: Traffic) -> tuple[Rings, int]:
    """Returns warm queues, and how many requests of each a measurement takes."""
    rings = Rings(host, traffic)
    requests = max(FRAMES // traffic.frames // traffic.queues, 1)
    rings.run(requests)
    return rings, requests


def _speed(host: Host, traffic: Traffic) -> float:
    """Returns seconds per frame."""
    rings, requests = _rings(host, traffic)
    took = rings.run(requests)
    return took.seconds / took.frames


def _processor(host: Host, traffic: Traffic) -> float:
    """Returns seconds of processor time of this process's children per frame."""
    rings, requests = _rings(host, traffic)
    before = children_seconds()
    took = rings.run(requests)
    return (children_seconds() - before) / took.frames


def _copy(host: Host, traffic: Traffic) -> float:
    """Returns seconds per frame of copying the bytes."""
    rings, _ = _rings(host, traffic)
    return rings.copy(FRAMES) / FRAMES


def _rate(each: Series) -> Series:
    return Series(tuple(1 / value for value in each.values))


def _speeds(each: Series, traffic: Traffic) -> str:
    rate = 1 / each.median
    return f"{rate / 1e3:,.0f} k frames/s, {rate * traffic.frame_bytes * 8 / 1e9:.2f} Gbit/s"


# Steps


def _steps(host: Host, whole: Traffic, rounds: int) -> Iterator[Row]:
    """Compares traffic that leaves steps out. Times are the engine's processor time; a doorbell's
    is what the driver waits."""
    bare = replace(whole, sums=False, ip=False, armed=False)
    loads = {
        "fetch": replace(whole, empty=True),
        "unwanted": replace(bare, delivered=False),
        "summed": replace(bare, delivered=False, ip=True, sums=True),
        "bare": bare,
        "unarmed": replace(whole, armed=False),
        "whole": whole,
    }
    runs: dict[str, Run] = {name: partial(_engine, host, one) for name, one in loads.items()}
    took = interleave(runs | {"doorbell": partial(_knock, host, whole)}, rounds)
    summing = _difference(took["summed"], took["unwanted"])
    verified = _difference(took["unarmed"], took["bare"])
    steps = {
        "a doorbell": took["doorbell"],
        "fetching a work request": took["fetch"],
        "gathering, wire, statistics, address filter": _difference(took["unwanted"], took["fetch"]),
        "making a checksum": summing,
        "buffers and response": _difference(took["bare"], took["unwanted"]),
        "headers, verifying the checksum, hash": _difference(verified, summing),
        "interrupts": _difference(took["whole"], took["unarmed"]),
    }
    for name, seconds in steps.items():
        label = f"{exact(whole.length + FCS, 'byte')}: {name}"
        against = f"the whole, {took['whole'].median * 1e9:.0f} ns"
        share = seconds.over(took["whole"])
        yield Row(STEPS, label, seconds.scaled(1e9), "ns/frame", share, against)


def _engine(host: Host, traffic: Traffic) -> float:
    """Returns the engine's seconds per frame."""
    rings, requests = _rings(host, traffic)
    took = rings.run(requests)
    return took.engine / took.frames


def _knock(host: Host, traffic: Traffic) -> float:
    rings, _ = _rings(host, traffic)
    return rings.knock(FRAMES) / FRAMES


def _difference(a: Series, b: Series) -> Series:
    return Series(tuple(x - y for x, y in zip(a.values, b.values, strict=True)))
