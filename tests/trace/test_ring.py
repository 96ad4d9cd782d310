"""The ring: what finds no room is counted; two threads share it."""

from __future__ import annotations

import struct
import threading

import pytest

from tests.trace.conftest import LEAST_RING, SMALL
from vmcoredd import emu
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.trace.records import Assembler, Kind, Source
from vmcoredd.trace.ring import Ring


@pytest.mark.parametrize("size", [0, 1024, 5000])
def test_the_size_of_a_ring_is_a_power_of_two(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Ring(size)


def test_a_ring_that_is_full_loses_events_and_says_so() -> None:
    ring = Ring(LEAST_RING)
    card = emu.Card.load("t62100-cr", **SMALL)
    card.core.record(ring)
    for _ in range(100):
        card.read(card.chip.r.PL_REV)
    assert (ring.events, ring.lost, ring.untold) == (64, 36, 36)
    assert sum(len(piece) for piece in ring.take()) == 64 * 64
    card.read(card.chip.r.PL_REV)
    (piece,) = ring.take()
    kinds = [piece[0], piece[64]]
    assert kinds == [Kind.LOST, Kind.READ]
    assert struct.unpack_from("<Q", piece, 32) == (36,)
    assert ring.untold == 0


def test_an_access_that_is_too_large_for_the_ring_is_counted_as_lost() -> None:
    ring = Ring(LEAST_RING)
    card = emu.Card.load("t62100-cr", **SMALL)
    card.core.record(ring)
    assert len(card.bar_read(0, 0x1008, 4096)) == 4096
    assert (ring.events, ring.lost) == (0, 1)


def test_two_threads_share_a_ring() -> None:
    """One puts events of all sizes in as fast as it can, while the other takes them out."""
    ring, total = Ring(1 << 16), 20_000
    c = ffi.cast("struct trace_ring *", ring.address)

    def put() -> None:
        for number in range(total):
            data = bytes([number % 251]) * (number % 300)
            lib.trace_note(c, Kind.CONTROL, Source.USER, data, len(data))

    whole, found, lost = Assembler(), 0, 0
    thread = threading.Thread(target=put)
    thread.start()
    while thread.is_alive() or ring.ready_bytes:
        for piece in ring.take(4096):
            for record in whole.add(bytes(piece)):
                if record.kind == Kind.LOST:
                    lost += record.value
                else:
                    found += 1
                    assert record.data == record.data[:1] * record.carried
    thread.join()
    assert (found, lost + ring.untold) == (ring.events, ring.lost)
    assert found + ring.lost == total
