"""Dumps over a vfio-user socket: the same bytes as in process, few waits, and a dying server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyvfio_user import ConnectError
from vmcoredd import cudbg, driver, emu
from vmcoredd.driver.adapter import Adapter
from vmcoredd.driver.transports import Socket
from vmcoredd.emu.server import served
from vmcoredd.hw.errors import DeadDevice

SMALL = {"edc0": 1, "edc1": 1, "mc0": 2}


def dumped(adapter: Adapter, compress: str = "zlib") -> tuple[cudbg.Report, bytes]:
    buffer = bytearray(cudbg.DUMP_SIZE)
    report = adapter.collect(memoryview(buffer), compress=compress)
    return report, bytes(buffer)


@pytest.mark.parametrize("compress", ["zlib", "none"])
@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_dump_over_a_socket_equals_that_in_process(
    tmp_path: Path, name: str, compress: str
) -> None:
    with driver.open_card(emu.Card.load(name, memory=SMALL)) as adapter:
        _, expected = dumped(adapter, compress)
    with (
        served(emu.Card.load(name, memory=SMALL), tmp_path / "card"),
        driver.open(tmp_path / "card") as adapter,
    ):
        report, data = dumped(adapter, compress)
        assert adapter.summary().product == adapter.probed.product
    assert not report.dead
    assert data == expected


def test_dump_over_a_socket_takes_few_round_trips(tmp_path: Path) -> None:
    card = emu.Card.load("t62100-cr", memory=SMALL)
    with served(card, tmp_path / "card"):
        transport = Socket(tmp_path / "card")
        with Adapter(transport) as adapter:
            before = transport.client.counters
            report, _ = dumped(adapter, "none")
            after = transport.client.counters
    accesses = sum(entity.counts.total for entity in report.entities)
    assert accesses > 750_000
    assert after.round_trips - before.round_trips < 1200
    assert after.messages - before.messages < 250_000


def test_dump_one_access_at_a_time_gives_the_same_bytes(tmp_path: Path) -> None:
    names = ["CIM_QCFG", "MEMINFO", "TP_INDIRECT", "VPD_DATA"]
    found = []
    with served(emu.Card.load("t62100-cr", memory=SMALL), tmp_path / "card"):
        for pipelined in (True, False):
            transport = Socket(tmp_path / "card")
            with Adapter(transport, transport.io(pipelined=pipelined)) as adapter:
                buffer = bytearray(1 << 20)
                adapter.collect(memoryview(buffer), entities=names)
                found.append((bytes(buffer), adapter.io.counts))
    assert found[0] == found[1]


DYING = """
import os, sys
from vmcoredd import emu
from vmcoredd.emu.server import attach
from pyvfio_user import Server

card = emu.Card.load("t62100-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
left = int(sys.argv[2])

def access(offset, data, is_write):
    global left
    left -= 1
    if left < 0:
        os._exit(0) if sys.argv[3] == "exit" else sys.stdin.read()
    if is_write:
        card.bar_write(0, offset, bytes(data))
    else:
        data[:] = card.bar_read(0, offset, len(data))

with Server(sys.argv[1]) as server:
    attach(card, server)
    server.region(0, card.bars[0], access)
    print("ready", flush=True)
    server.run()
"""


@contextmanager
def dying_server(path: Path, accesses: int, how: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a server that exits or goes silent after `accesses` accesses to BAR0."""
    command = [sys.executable, "-c", DYING, str(path), str(accesses), how]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        try:
            yield server
        finally:
            server.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("how", ["exit", "go silent"])
def test_dump_keeps_the_entities_collected_before_the_server_died(tmp_path: Path, how: str) -> None:
    path = tmp_path / "card"
    with (
        dying_server(path, 20_000, how),
        driver.open(path, deadline=1.5) as adapter,
    ):
        report, data = dumped(adapter)
    dump = cudbg.Dump(data)
    codes = [entity.code for entity in dump.entities]
    alive = codes.index(-5)
    assert alive >= 3
    assert set(codes[:alive]) == {0}
    assert set(codes[alive:]) == {-5}
    assert len(codes) == 52
    assert report.dead
    with driver.open_card(
        emu.Card.load("t62100-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
    ) as whole:
        _, expected = dumped(whole)
    good = [entity.name for entity in dump.entities[:alive]]
    assert [dump.raw(name) for name in good] == [cudbg.Dump(expected).raw(name) for name in good]


def test_probe_of_a_dying_server_is_a_dead_device(tmp_path: Path) -> None:
    with dying_server(tmp_path / "card", 5, "exit"), pytest.raises(DeadDevice):
        driver.open(tmp_path / "card")


def test_open_without_a_server_is_a_connect_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectError):
        driver.open(tmp_path / "nothing")
