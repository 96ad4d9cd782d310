"""A small card, and traces of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from vmcoredd import emu
from vmcoredd.emu.recording import recording
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.events import Decoder, Event
from vmcoredd.trace.recorder import Recorder
from vmcoredd.trace.records import Record

SMALL = {"memory": {"edc0": 1, "edc1": 1, "mc0": 1}}
LEAST_RING = 4096
Recording = Callable[..., AbstractContextManager[Recorder]]


@pytest.fixture
def card() -> emu.Card:
    return emu.Card.load("t62100-cr", **SMALL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.npz"


@pytest.fixture
def recorded(card: emu.Card, path: Path) -> Recording:
    """Records the card to `path` while the context is open."""
    return partial(recording, card, path)


def read(path: Path) -> tuple[Reader, list[Record]]:
    """The closed reader of a trace, and its records."""
    with Reader(path) as reader:
        return reader, list(reader.records())


def events(path: Path) -> list[Event]:
    """The events of a trace."""
    reader, records = read(path)
    return list(Decoder(reader.header).events(records))
