"""Frames from outside wait while a crashed card is dumped: by the kernel, and by us.

Two plain sockets keep sending, over a stream and over datagrams, from before the panic on.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from crashes import SMALL, our_dump, port_counters
from stations import frame

from vmcoredd import cudbg, emu, vmcore
from vmcoredd.cli.traffic import holding_outside
from vmcoredd.cudbg.compare import Difference, compare
from vmcoredd.emu import wires
from vmcoredd.qemu import kdump
from vmcoredd.qemu.kdump import Stage
from vmcoredd.qemu.prepare import Options, Prepared, serve_cards

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="takes minutes: VMCOREDD_THOROUGH=1, make test-long",
    ),
]
STREAM, DGRAM = 2, 3
"""The ports whose wires lead outside; the guest's own traffic is between the other two."""
LENGTH = 500
PATIENCE = 60.0
PAUSE = 0.05
FRAMES = "MPS_PORT_STAT_RX_PORT_FRAMES"


class Sender:
    """Somebody outside who sends broadcasts without end; `sent` counts them."""

    def __init__(self, kind: int, path: Path) -> None:
        self.sent = 0
        self._kind, self._path = kind, str(path)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sender to {path.name}")

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            with socket.socket(socket.AF_UNIX, self._kind) as end:
                end.settimeout(PAUSE)
                try:
                    end.connect(self._path)
                    self._send(end)
                except OSError:
                    continue  # the card's port is off, or a new card has the path

    def _send(self, end: socket.socket) -> None:
        head = struct.pack(">I", LENGTH) if self._kind == socket.SOCK_STREAM else b""
        while not self._stop.is_set():
            left = head + frame(LENGTH, self.sent)
            while left and not self._stop.is_set():
                try:
                    left = left[end.send(left) :]
                except TimeoutError:
                    continue
            self.sent += 1


@contextmanager
def senders(folder: Path) -> Iterator[list[Sender]]:
    """Both of them."""
    with (
        Sender(socket.SOCK_STREAM, folder / "stream") as one,
        Sender(socket.SOCK_DGRAM, folder / "dgram") as two,
    ):
        yield [one, two]


def until(what: Callable[[], bool]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(PAUSE)


def received(card: emu.Card) -> list[int]:
    """Returns how many frames have arrived at the ports from outside."""
    first = card.chip.r[f"{FRAMES}_L"]
    return [card.read(first[port], 8) for port in (STREAM, DGRAM)]


def take_none(card: emu.Card) -> bool:
    """Whether the card has taken note that frames from outside wait."""
    return all(card.engine.c.ports[port].wire.held for port in (STREAM, DGRAM))


@dataclass
class Crash:
    """A run, its card, its state when it was dumped, our dump, and how much had arrived by when."""

    card: emu.Card
    report: kdump.Report
    state: emu.Snapshot
    ours: cudbg.Dump
    arrived: dict[Stage, list[int]]

    @property
    def dump(self) -> cudbg.Dump:
        """The kernel's dump."""
        with vmcore.Reader(self.report.vmcore) as reader:
            return cudbg.Dump(bytes(reader.payload(0)))


@pytest.fixture(scope="module")
def crash(
    prepared: Prepared, tmp_path_factory: pytest.TempPathFactory, progress: Callable[..., None]
) -> Iterator[Crash]:
    folder = tmp_path_factory.mktemp("held")
    card = emu.Card.load("t540-cr", scene="fresh", memory=SMALL, map_window=True)
    leading = [f"{STREAM}=stream:{folder}/stream", f"{DGRAM}=dgram:{folder}/dgram"]
    wires.plug(["0=1", *leading], {"a": card})
    hold = holding_outside([card])
    states: list[emu.Snapshot] = []
    ours: list[cudbg.Dump] = []
    arrived: dict[Stage, list[int]] = {}

    def on_stage(stage: Stage) -> None:
        if stage is Stage.FLOWING:
            until(lambda: min(received(card)) > 0)
        hold(stage)
        if stage is Stage.CRASHED:
            until(lambda: take_none(card))
            states.append(card.snapshot())
            ours.append(our_dump(card))
            card.restore(states[0])
        if stage is Stage.DUMPED:
            goes_on(outside[1])
        arrived[stage] = received(card)

    with senders(folder) as outside:
        with serve_cards([card], folder) as adapters:
            report = kdump.run(
                adapters,
                folder / "vmcore",
                flow=kdump.Flow(traffic=("eth0=eth1",), notes_only=True),
                options=Options(memory="2G"),  # of four ports' buffers
                prepared=prepared,
                on_stage=on_stage,
                progress=progress,
            )
        yield Crash(card, report, states[0], ours[0], arrived)


def goes_on(sender: Sender) -> None:
    """Waits until the card has taken more than a socket has room for."""
    before = sender.sent
    until(lambda: sender.sent > before + 1000)


def arrived_in(dump: cudbg.Dump) -> list[int]:
    """Returns what `received()` does, from a dump."""
    counters = port_counters(dump)
    return [counters[port, FRAMES] for port in (STREAM, DGRAM)]


def test_the_card_takes_frames_until_the_crash_kernel_is_up(crash: Crash) -> None:
    flowing, crashed = crash.arrived[Stage.FLOWING], crash.arrived[Stage.CRASHED]
    assert all(before < after for before, after in zip(flowing, crashed, strict=True))


def test_no_frame_arrives_while_we_and_the_kernel_dump(crash: Crash) -> None:
    counts = crash.arrived[Stage.CRASHED]
    assert arrived_in(crash.ours) == arrived_in(crash.dump) == counts


def test_our_dump_equals_the_kernels(crash: Crash) -> None:
    found = compare(crash.dump, crash.ours)
    assert [item for item in found if isinstance(item, Difference)] == []


def test_then_frames_arrive_again(crash: Crash) -> None:
    crash.card.restore(crash.state)

    def all_arrive() -> bool:
        crash.card.engine.run()
        counts = zip(crash.arrived[Stage.CRASHED], received(crash.card), strict=True)
        return all(before < after for before, after in counts)

    until(all_arrive)
