"""The unavoidable messages, bytes and waits of a dump, counted from its programs."""

from __future__ import annotations

import pytest
from ramcard import RamCard

from vmcoredd.bench.floor import Counting, Unavoidable
from vmcoredd.bench.load import Link
from vmcoredd.hw.io import Check, Op, Put, Read, Write

CELL = 0x100


def counted(ops: list[Op], rows: int) -> Unavoidable:
    """Counts the needs of a program, on a card of plain memory."""
    found = Unavoidable()
    Counting(RamCard(0x1000).io(), found).run(ops, rows)
    return found


def test_reading_a_run_of_registers_takes_one_message() -> None:
    assert counted([Read(CELL, count=16)], 3) == Unavoidable(reads=3, read_bytes=192, waits=1)


def test_each_repeated_read_of_a_register_takes_a_message() -> None:
    found = counted([Read(CELL, count=16, again=True)], 3)
    assert found == Unavoidable(reads=48, read_bytes=192, waits=1)


def test_writes_need_no_wait() -> None:
    assert counted([Write(CELL, 1)], 5) == Unavoidable(writes=5, write_runs=5)


def test_writing_a_run_of_registers_can_take_one_message() -> None:
    assert counted([Write(CELL, 1, count=17)], 2) == Unavoidable(writes=34, write_runs=2)


def test_a_put_sends_no_message() -> None:
    assert counted([Put(7), Read(CELL)], 2) == Unavoidable(reads=2, read_bytes=8, waits=1)


def test_a_check_with_count_0_sends_no_message() -> None:
    check = Check(CELL, 0, 0, error=-5, count=0)
    assert counted([check, Write(CELL, 1)], 2).reads == 0


def test_the_floor_is_the_sum_of_messages_bytes_and_waits() -> None:
    link = Link(read=1.0, write=0.1, byte=0.01, round_trip=10.0)
    needs = Unavoidable(reads=5, writes=10, write_runs=3, read_bytes=100, waits=2)
    assert needs.floor(link) == pytest.approx(5 + 1 + 1 + 20)
    assert needs.sent(link) == pytest.approx(5 + 0.3 + 1 + 20)
