"""Dumps over connections that are cut: made again, and refused where another adapter answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from cliruns import dying
from cut_connections import cut_connections

from vmcoredd import cudbg, driver, emu
from vmcoredd.driver.reconnect import RECONNECTS_MOST, identity_of
from vmcoredd.driver.transports import Inproc, Socket
from vmcoredd.emu.server import served

SMALL = {"edc0": 1, "edc1": 1, "mc0": 2}
SOME, MOST, ALL = 10_000, 400_000, 6_000_000
"""Bytes of replies: in the firmware's log, in a queue of the CIM, in a memory."""
MEMORIES = {"EDC0", "EDC1", "MC0"}


def card(seed: int = 3, name: str = "t62100-cr", **options: object) -> emu.Card:
    return emu.Card.load(name, seed=seed, memory=SMALL, **options)


def dumped(path: Path, compress: str = "zlib") -> tuple[cudbg.Report, cudbg.Dump, bytes]:
    """Dumps the adapter at `path`; its report, and the dump as an object and as bytes."""
    buffer = bytearray(cudbg.DUMP_SIZE)
    with driver.open(path) as adapter:
        report = adapter.collect(memoryview(buffer), compress=compress)
        adapter.summary()
    return report, cudbg.Dump(buffer), bytes(buffer)


def whole(compress: str = "zlib") -> bytes:
    """The dump of the same card without any loss."""
    buffer = bytearray(cudbg.DUMP_SIZE)
    with driver.open_card(card()) as adapter:
        adapter.collect(memoryview(buffer), compress=compress)
    return bytes(buffer)


def reconnects(report: cudbg.Report) -> dict[str, int]:
    return {entity.name: entity.reconnects for entity in report.entities if entity.reconnects}


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Path]:
    """A served card, to be reached through a proxy."""
    with served(card(), tmp_path / "behind"):
        yield tmp_path / "behind"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sock"


@pytest.mark.parametrize("compress", ["zlib", "none"])
@pytest.mark.parametrize("most", [SOME, MOST, ALL])
def test_a_dump_goes_on_where_its_connection_was_cut(
    path: Path, behind: Path, most: int, compress: str
) -> None:
    with cut_connections(path, [(behind, most), (behind, None)]):
        report, dump, _ = dumped(path, compress)
    expected = cudbg.Dump(whole(compress))
    assert not report.dead
    assert [entity.code for entity in dump.entities] == [e.code for e in expected.entities]
    (cut,) = reconnects(report).items()
    assert cut[1] == 1
    others = {entity.name for entity in dump.entities if entity.good} - {cut[0]}
    assert others | {cut[0]} >= MEMORIES
    for name in others | MEMORIES:
        assert dump.raw(name) == expected.raw(name), name


def test_a_dump_whose_memory_was_read_twice_is_the_same_to_the_last_byte(
    path: Path, behind: Path
) -> None:
    with cut_connections(path, [(behind, ALL), (behind, None)]):
        report, _, data = dumped(path)
    (cut,) = reconnects(report)
    assert cut in MEMORIES
    assert data == whole()


def test_the_accesses_of_the_lost_attempt_are_not_counted(path: Path, behind: Path) -> None:
    with cut_connections(path, [(behind, ALL), (behind, None)]):
        report, _, _ = dumped(path)
    with driver.open_card(card()) as adapter:
        expected = adapter.collect(memoryview(bytearray(cudbg.DUMP_SIZE)))
    assert len(reconnects(report)) == 1
    assert [e.counts for e in report.entities] == [e.counts for e in expected.entities]


@pytest.mark.parametrize("other", [("t62100-cr", 4), ("t520-cr", 3)], ids=str)
def test_another_adapter_is_refused(
    tmp_path: Path, path: Path, behind: Path, other: tuple[str, int]
) -> None:
    name, seed = other
    stranger = card(seed, name)
    before = stranger.accesses
    with (
        served(stranger, tmp_path / "stranger"),
        cut_connections(path, [(behind, MOST), (tmp_path / "stranger", None)]),
    ):
        report, dump, _ = dumped(path)
    assert "another adapter answers" in report.dead
    assert stranger.accesses == before
    assert reconnects(report) == {}
    names = [entity.name for entity in report.entities]
    lost = names[names.index(report.lost_from) :]
    assert {dump.entity(name).code for name in lost} == {-5}
    assert len(report.good) == 52 - len(lost)


def test_a_server_that_is_gone_is_waited_for_no_longer_than_the_deadline(
    path: Path, behind: Path
) -> None:
    with (
        cut_connections(path, [(behind, MOST)]),
        contextlib.closing(Socket(path, deadline=0.2)) as transport,
    ):
        adapter = driver.Adapter(transport)
        report = adapter.collect(memoryview(bytearray(cudbg.DUMP_SIZE)))
        assert adapter.summary().model == ""
    assert "cannot connect" in report.dead
    assert {entity.code for entity in report.entities[-4:]} == {-5}


def test_the_connection_of_a_dump_is_made_again_a_few_times(path: Path, behind: Path) -> None:
    cuts = [(behind, MOST), *[(behind, 50_000)] * (RECONNECTS_MOST + 1)]
    with cut_connections(path, cuts):
        report, dump, _ = dumped(path)
    assert sum(reconnects(report).values()) == RECONNECTS_MOST
    assert f"was made again {RECONNECTS_MOST} times" in report.dead
    assert dump.entity("MC0").code == -5


def test_an_entity_in_which_the_connection_is_lost_twice_is_lost_alone(
    path: Path, behind: Path
) -> None:
    cuts = [(behind, ALL), (behind, 50_000), (behind, None)]
    with cut_connections(path, cuts):
        report, dump, _ = dumped(path)
    (twice,) = reconnects(report).items()
    assert twice[1] == 2
    assert not report.dead
    assert dump.entity(twice[0]).code == -5
    expected = cudbg.Dump(whole())
    assert [e.name for e in expected.entities if e.good] == [
        e.name for e in dump.entities if e.good or e.name == twice[0]
    ]


def test_a_server_that_was_killed_and_runs_again_is_used(path: Path) -> None:
    same = emu.Card.load("t62100-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
    restarted = contextlib.ExitStack()

    def supervise() -> None:
        server.wait()
        restarted.enter_context(served(same, path))

    with restarted, dying(path, 50_000) as server:
        supervisor = Thread(target=supervise)
        supervisor.start()
        report, dump, _ = dumped(path)
        supervisor.join()
    assert sum(reconnects(report).values()) == 1
    assert not report.dead
    assert all(dump.entity(name).good for name in MEMORIES)


def test_a_card_in_this_process_is_not_asked_twice() -> None:
    assert Inproc(card()).reconnect is None


def test_a_serial_number_is_sought_in_extended_configuration_space_only() -> None:
    class Conventional(Inproc):
        config_bytes = 256

    transports = (Inproc(card()), Conventional(card()))
    express, conventional = (identity_of(one.io(), one) for one in transports)
    assert express.serial
    assert conventional == replace(express, serial=None)
