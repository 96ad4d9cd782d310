"""The deterministic counts behind the speed of a dump; times are left to the benchmark."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from pyvfio_user import Client
from vmcoredd import emu
from vmcoredd.bench.dumps import Made, buffer, dump
from vmcoredd.bench.floor import Unavoidable, unavoidable
from vmcoredd.bench.load import Load
from vmcoredd.driver import open_card

MIB = 1 << 20


@pytest.fixture(scope="module")
def made(served: Path) -> Made:
    return dump(served)


@pytest.fixture(scope="module")
def needs(served: Path, made: Made) -> Unavoidable:
    return unavoidable(served)


def test_a_dump_sends_only_messages_that_the_kernels_order_requires(
    made: Made, needs: Unavoidable
) -> None:
    assert made.sent.messages == needs.reads + needs.write_runs


def test_a_dump_waits_only_where_it_needs_values_and_when_a_loop_begins(
    made: Made, needs: Unavoidable
) -> None:
    assert made.sent.round_trips < 2 * needs.waits
    assert made.sent.round_trips < made.sent.messages / 100


def test_hundreds_of_messages_share_a_send(made: Made) -> None:
    assert made.sent.messages / made.sent.sends > 100


def test_a_dump_sends_a_ninth_as_many_messages_as_the_kernel_makes_accesses(made: Made) -> None:
    assert made.sent.messages * 9 < made.counts.total


def test_one_access_at_a_time_makes_the_same_accesses() -> None:
    counts = []
    for pipelined in (True, False):
        with open_card(emu.Card.load("t62100-cr")) as adapter:
            adapter.io = adapter._transport.io(pipelined=pipelined)
            before = adapter.io.counts
            adapter.collect(buffer(), compress="none")
            counts.append(adapter.io.counts - before)
    assert counts[0] == counts[1]


def test_a_dump_receives_only_data_and_a_header_per_read(made: Made, needs: Unavoidable) -> None:
    assert made.sent.bytes_received == needs.read_bytes + 32 * needs.reads


def test_a_dump_sends_only_a_header_per_message_and_the_values_written(
    made: Made, needs: Unavoidable
) -> None:
    assert made.sent.bytes_sent == 32 * (needs.reads + needs.write_runs) + 4 * needs.writes


@pytest.mark.parametrize(("compress", "limit"), [("none", 4 * MIB), ("zlib", 8 * MIB)])
def test_a_dump_does_not_copy_memory_on_its_way_into_the_buffer(compress: str, limit: int) -> None:
    with open_card(emu.Card.load("t62100-cr")) as adapter:
        into = buffer()
        tracemalloc.start()
        try:
            adapter.collect(into, compress=compress, entities=["EDC0", "EDC1", "MC0"])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < limit


@pytest.mark.parametrize("depth", [1, 7, 64])
def test_a_load_waits_once_per_depth_reads(served: Path, depth: int) -> None:
    with Client(served) as client:
        load, before = Load(client), client.counters
        load.reads(448, depth=depth)
        after = client.counters
    assert after.messages - before.messages == 448
    assert after.round_trips - before.round_trips == 448 // depth


def test_posted_writes_wait_once(served: Path) -> None:
    with Client(served) as client:
        load, before = Load(client), client.counters
        load.writes(1000)
        after = client.counters
    assert after.round_trips - before.round_trips == 1
