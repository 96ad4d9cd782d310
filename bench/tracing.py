"""What a trace costs: without one, while it is recorded, and when it is read."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from vmcoredd import emu
from vmcoredd.bench.dumps import buffer, dump
from vmcoredd.bench.load import Load
from vmcoredd.bench.machine import Placement, on_cpus, placements
from vmcoredd.bench.measure import Row, Run, Target, interleave, processor_time
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.driver import open_card
from vmcoredd.driver.transports import Inproc
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.recording import recording
from vmcoredd.plural import counted
from vmcoredd.trace import jsonlines, text
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.events import Decoder
from vmcoredd.trace.perfetto import Export
from vmcoredd.trace.ring import Ring

GROUP = "a trace"
RECORDED = Target(2.0, at_least=False)
"""Of the time of a dump without a trace."""
OFF = Target(1.05, at_least=False)
"""Of the time of an access in a card that cannot record."""
SETTLING_SECONDS = 2.0
"""After which what a dump left in the ring is written: it takes no processor from the next."""
ACCESSES = 200_000


def measure(rounds: int) -> Iterator[Row]:
    """Measures accesses in process, dumps over a socket, and reading a dump's trace."""
    yield from _accesses(max(rounds, 5))
    for placement in placements():
        yield from _dumps(placement, rounds)
    yield from _reading(rounds)


# Accesses


class _Bar:
    """BAR0 of a card behind another function than `emu_access`."""

    def __init__(self, card: emu.Card, function: str) -> None:
        address = ffi.addressof(lib, function)
        self.access = int(ffi.cast("intptr_t", address)), card.bar0.access[1]


class _Card:
    """A card whose accesses do without a look at whether there is a trace."""

    def __init__(self, card: emu.Card) -> None:
        self.bar0 = _Bar(card, "emu_plain_access")
        self.config_read, self.config_write = card.config_read, card.config_write


def _accesses(rounds: int) -> Iterator[Row]:
    card, other = emu.Card.load("t62100-cr"), emu.Card.load("t62100-cr")
    ring = Ring()
    other.core.record(ring)
    transports = {"bare": Inproc(_Card(card)), "off": Inproc(card), "on": Inproc(other)}
    loads = {name: Load(each.address) for name, each in transports.items()}

    def reads(name: str) -> float:
        deque(ring.take(), 0)
        read = partial(loads[name].reads, ACCESSES, offset=int(card.chip.r.PL_REV))
        return processor_time(read) / ACCESSES

    runs: dict[str, Run] = {name: partial(reads, name) for name in loads}
    took = {name: series.scaled(1e9) for name, series in interleave(runs, rounds).items()}
    bare, off = took["bare"], took["off"]
    against = f"a card that cannot record, {bare.median:.1f} ns"
    yield Row(GROUP, "an access in process, no trace", off, "ns", off.over(bare), against, OFF)
    against = f"without a trace, {off.median:.1f} ns"
    yield Row(
        GROUP, "an access in process, traced", took["on"], "ns", took["on"].over(off), against
    )


# Dumps


def _dumps(placement: Placement, rounds: int) -> Iterator[Row]:
    with (
        serving(CardServer(cpus=placement.server)) as plain,
        serving(CardServer(cpus=placement.server, traced=True)) as traced,
        on_cpus(placement.client),
    ):

        def settled(path: Path) -> float:
            seconds = dump(path).seconds
            time.sleep(SETTLING_SECONDS)
            return seconds

        runs: dict[str, Run] = {
            "traced": lambda: settled(traced),
            "plain": lambda: settled(plain),
            "traced, in a row": lambda: sum(dump(traced).seconds for _ in range(5)) / 5,
        }
        took = interleave(runs, rounds)
    against = f"without a trace, {took['plain'].median:.3f} s"
    for name in ("traced", "traced, in a row"):
        yield Row(
            GROUP,
            f"a dump over the socket, {name}, {placement.name}",
            took[name],
            "s",
            took[name].over(took["plain"]),
            against,
            RECORDED if name == "traced" else None,
        )


# Reading


def _reading(rounds: int) -> Iterator[Row]:
    """Measures the steps from a dump's trace to each format, in processor time by event."""
    with tempfile.TemporaryDirectory(prefix="vmcoredd-bench-") as folder:
        path = Path(folder) / "trace.npz"
        card = emu.Card.load("t62100-cr")
        with recording(card, path), open_card(card) as adapter:
            adapter.collect(buffer(), compress="none")
        size = path.stat().st_size
        with Reader(path) as reader:
            header, records = reader.header, list(reader.records())
        decoder = Decoder(header)
        events = list(decoder.events(records))

        def perfetto() -> None:
            with open("/dev/null", "wb") as file:
                Export(file, header).add(events)

        def read() -> None:
            with Reader(path) as again:
                deque(again.records(), 0)

        steps = {
            "reading the records": read,
            "naming": lambda: deque(Decoder(header).events(records), 0),
            "text, folded": lambda: deque(text.lines(events), 0),
            "JSON Lines": lambda: deque(jsonlines.lines(header, decoder, events), 0),
            "Perfetto": perfetto,
        }
        runs: dict[str, Run] = {name: partial(processor_time, step) for name, step in steps.items()}
        took = interleave(runs, rounds, warm=False)
    note = f"{counted(len(records), 'record')} in {size / 1e6:.1f} MB"
    for name, series in took.items():
        each = series.scaled(1e6 / len(events))
        yield Row(GROUP, f"{name}, by event", each, "us", note=note)
