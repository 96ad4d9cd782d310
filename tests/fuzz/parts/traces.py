"""Damaged and hostile traces, through the reader, the decoder and the formats.

The damage is in the file, or in the records before they are compressed: only the room's own errors,
in bounded time and memory.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections import deque
from pathlib import Path
from random import Random

from tests.fuzz import vmcores
from tests.fuzz.case import Broken, Case
from tests.fuzz.parts.files import limited_memory
from vmcoredd import driver, emu
from vmcoredd.emu.recording import recording
from vmcoredd.trace import jsonlines, text
from vmcoredd.trace.archive import Reader, Writer, mark
from vmcoredd.trace.errors import TraceError
from vmcoredd.trace.events import Decoder
from vmcoredd.trace.perfetto import Export
from vmcoredd.trace.records import RECORD_BYTES

SECONDS = 10.0
"""Of processor time for one case."""


def make(random: Random) -> Case:
    """A case: what is spoiled, and how."""
    return {"what": random.choice(("file", "records")), "edits": vmcores.edits(random)}


class Runner(contextlib.AbstractContextManager["Runner"]):
    """Records a probe once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trace.npz"
        card = emu.Card.load("t520-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
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
            _read(self._path)
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
