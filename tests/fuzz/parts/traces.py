"""Damaged and hostile traces, through the reader, the decoder and the formats, and replayed.

The damage is in the file, or in the records before they are compressed: only the room's own errors,
in bounded time and memory. A replay may find differences, or lose the other side.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections import deque
from pathlib import Path
from random import Random

from pyvfio_user import Server, VfioUserError
from tests.fuzz import vmcores
from tests.fuzz.case import Broken, Case
from tests.fuzz.parts.files import limited_memory
from vmcoredd import driver, emu
from vmcoredd.emu.recording import recording
from vmcoredd.emu.server import running, served
from vmcoredd.trace import jsonlines, text
from vmcoredd.trace.archive import Reader, Writer, mark
from vmcoredd.trace.errors import TraceError
from vmcoredd.trace.events import Decoder
from vmcoredd.trace.perfetto import Export
from vmcoredd.trace.records import RECORD_BYTES
from vmcoredd.trace.replay.adapter_side import Player
from vmcoredd.trace.replay.driver_side import Options, replay

SECONDS = 10.0
"""Of processor time for one case."""
PATIENCE = 0.001
"""Seconds that a replay waits for what a spoiled trace says that the card had done."""
SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
"""MiB of a card's memories."""


def make(random: Random) -> Case:
    """A case: what is spoiled, how, and who reads it."""
    return {
        "what": random.choice(("file", "records")),
        "edits": vmcores.edits(random),
        "how": random.choice((*HOW,)),
    }


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Records a probe once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trace.npz"
        card = emu.Card.load("t520-cr", memory=SMALL)
        with recording(card, self._path), driver.open_card(card):
            pass
        self._intact = self._path.read_bytes()
        with Reader(self._path) as reader:
            self._header = reader.header
            self._records = b"".join(record.packed() for record in reader.records())

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, case: Case) -> None:
        """Reads the trace of a case."""
        if case["what"] == "file":
            self._path.write_bytes(vmcores.spoiled(self._intact, case["edits"]))
        else:
            self._write(vmcores.spoiled(self._records, case["edits"]))
        begin = time.process_time()
        with limited_memory():
            HOW[case.get("how", "read")](self._path)
        if (took := time.process_time() - begin) > SECONDS:
            raise Broken(f"took {took:.1f} s")

    def _write(self, records: bytes) -> None:
        writer = Writer(self._path, self._header, force=True)
        writer.add(records[: len(records) // RECORD_BYTES * RECORD_BYTES])
        writer.finish({"events": 0, "lost": 0})


def _read(path: Path) -> None:
    mark(path)
    with contextlib.suppress(TraceError), Reader(path) as reader:
        decoder = Decoder(reader.header)
        events = list(decoder.events(reader.records()))
        text.heading(reader.header, reader.end)
        deque(text.lines(events), 0)
        deque(jsonlines.lines(reader.header, decoder, events), 0)
        Export(io.BytesIO(), reader.header).add(events)


def _play_driver(path: Path) -> None:
    """Plays the driver's side to a card like the recorded one."""
    card, socket = emu.Card.load("t520-cr", memory=SMALL), path.with_name("card.sock")
    with (
        contextlib.suppress(TraceError, VfioUserError),
        served(card, socket),
        Reader(path) as reader,
    ):
        deque(replay(reader, socket, Options(patience=PATIENCE)).lines(), 0)


def _play_adapter(path: Path) -> None:
    """Plays the adapter's side to our driver, which gives up soon."""
    socket = path.with_name("card.sock")
    with (
        contextlib.suppress(TraceError, driver.DriverError, VfioUserError),
        Reader(path) as reader,
        Server(socket) as server,
    ):
        player = Player(reader, server)
        with running(server), driver.open(socket):
            pass
        player.end()
        deque(player.report.lines(), 0)


HOW = {"read": _read, "driver": _play_driver, "adapter": _play_adapter}
"""What is done with a spoiled trace."""
