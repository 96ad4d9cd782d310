"""A card behind a socket: its behaviour towards clients, and the end of serving."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyvfio_user import Client, Refused, Server, conformance, library_version
from vmcoredd.chip.memory import MEMWIN0
from vmcoredd.emu import Card
from vmcoredd.emu.engine.tables import EgressKind
from vmcoredd.emu.errors import CardInUse
from vmcoredd.emu.server import attach, serve

pytestmark = pytest.mark.skipif(library_version() is None, reason="built without libvfio-user")

CONFIG = 7
SERVE = """
import sys
from vmcoredd.emu import Card
from vmcoredd.emu.server import serve
serve(Card.load("t520-cr"), sys.argv[1], ready=int(sys.argv[2]))
print("ended")
"""


@pytest.fixture(scope="module")
def card() -> Card:
    return Card.load("t62100-cr", map_window=True)


@pytest.fixture(scope="module")
def path(card: Card, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a card that is served by a thread."""
    socket = tmp_path_factory.mktemp("served") / "card.sock"
    with Server(socket) as server:
        attach(card, server)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield socket
        server.stop()
        thread.join()


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    with Client(path) as client:
        yield client


def u32(client: Client, offset: int) -> int:
    return int(struct.unpack("<I", client.region_read(0, offset, 4))[0])


def test_a_card_has_one_server_at_a_time(card: Card, path: Path, tmp_path: Path) -> None:
    """Two threads would run its engine at once, and the second client's memory take the place of
    the first's."""
    told: list[None] = []
    with pytest.raises(CardInUse, match=f"a server at {path} has this card: close it first"):
        serve(card, tmp_path / "second", ready=lambda: told.append(None))
    assert not told
    assert not (tmp_path / "second").exists()
    with Client(path) as client:
        assert u32(client, 0) == card.read(0)


def test_a_card_may_have_a_server_after_another(tmp_path: Path) -> None:
    card = Card.load("t520-cr")
    with Server(tmp_path / "first") as server:
        attach(card, server)
        with pytest.raises(CardInUse), Server(tmp_path / "second") as second:
            attach(card, second)
    assert server.closed
    with Server(tmp_path / "second") as second:
        attach(card, second)


def test_of_servers_that_start_at_once_one_gets_the_card(tmp_path: Path) -> None:
    card, count = Card.load("t520-cr"), 8
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        servers = [stack.enter_context(Server(tmp_path / str(n))) for n in range(count)]
        together = threading.Barrier(count)

        def start(server: Server) -> None:
            together.wait()
            attach(card, server)

        refused = [each.exception() for each in [threads.submit(start, one) for one in servers]]
    assert [type(each) for each in refused if each] == [CardInUse] * (count - 1)


def test_a_client_sees_the_sizes_of_the_bars(card: Card, client: Client) -> None:
    assert {i: client.regions[i].size for i in card.bars} == card.bars


def test_a_client_reads_and_writes_config_space(card: Card, client: Client) -> None:
    assert client.region_read(CONFIG, 0, 64) == card.config[:64]
    client.region_write(CONFIG, 4, b"\x06\x01")
    assert card.config[4:6] == b"\x06\x01"


def test_a_cards_server_passes_all_checks_of_the_protocol(path: Path) -> None:
    """All but those of what no card has: I/O descriptors, migration."""
    report = conformance.run(conformance.Target(str(path), deadline=30))
    assert [row for row in report.results if row.outcome.value in ("fail", "not run")] == []
    assert report.count(conformance.Outcome.PASS) > 70


def test_a_client_that_leaves_takes_its_memory_from_the_packet_engine(
    card: Card, path: Path
) -> None:
    engine = card.engine.c
    with Client(path) as client:
        u32(client, 0)
        assert engine.host
        engine.egress[5].entries, engine.egress[5].kind = 2, EgressKind.ETHERNET
    with Client(path) as client:
        u32(client, 0)
        assert engine.host
        assert (engine.egress[5].halted, engine.egress[6].halted) == (1, 0)
    card.engine.stop_egress(5)


def test_a_client_reads_single_registers_and_runs(card: Card, client: Client) -> None:
    r = card.chip.r
    assert u32(client, r.PL_WHOAMI) == r.PL_WHOAMI.reset
    start, words = card.chip.ranges("reg_dump")[0]
    assert client.region_read(0, start, 4 * words) == card.bar_read(0, start, 4 * words)


def test_a_clients_write_to_a_read_only_register_is_refused(card: Card, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        client.region_write(0, card.chip.r.PL_WHOAMI, bytes(4))
    assert caught.value.errno == errno.EPERM
    assert u32(client, card.chip.r.PL_WHOAMI)


@pytest.mark.parametrize(("offset", "length"), [(0x80000, 4), (0x7FFFC, 8), (1, 4), (0, 2)])
def test_a_clients_invalid_access_is_refused(client: Client, offset: int, length: int) -> None:
    with pytest.raises(Refused):
        client.region_read(0, offset, length)
    assert client.region_read(0, 0x1008, 4)


def test_a_client_maps_the_window(card: Card, client: Client) -> None:
    offset = card.chip.r.PCIE_MEM_ACCESS_OFFSET
    (area,) = client.regions[0].areas
    with client.mmap(0, 0) as view:
        start = MEMWIN0.base - area.offset
        client.region_write(0, offset, (0x12004).to_bytes(4, "little"))
        assert bytes(view[start : start + 64]) == card.memories.read(0x12000, 64)
        view[start : start + 4] = b"mine"
        client.region_write(0, offset, (0x13004).to_bytes(4, "little"))
    assert card.memories.read(0x12000, 4) == b"mine"


def test_a_client_gets_the_page_of_the_window_and_no_other(card: Card, client: Client) -> None:
    (area,) = client.regions[0].areas
    size = os.fstat(area.fd).st_size
    assert (size, area.fd_offset, area.length) == (area.offset + 4096, area.offset, 4096)
    assert os.lseek(area.fd, 0, os.SEEK_DATA) == area.offset
    before = bytes(card.core.bar0.words[: area.offset // 4])
    os.pwrite(area.fd, b"\xee" * area.offset, 0)
    assert bytes(card.core.bar0.words[: area.offset // 4]) == before


def test_a_client_cannot_truncate_what_it_maps(client: Client) -> None:
    (area,) = client.regions[0].areas
    for size in (0, area.offset, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(area.fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(area.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert client.region_read(0, area.offset, 4096)


def test_a_device_reset_resets_the_function(card: Card, client: Client) -> None:
    client.region_write(CONFIG, 4, b"\x06\x01")
    client.reset()
    assert card.config[4:6] == b"\0\0"


def test_a_card_keeps_its_state_between_clients(card: Card, path: Path) -> None:
    control = card.chip.r.SGE_CONTROL
    with Client(path) as one:
        one.region_write(0, control, (7).to_bytes(4, "little"))
    with Client(path) as other:
        assert u32(other, control) == 7


def test_a_signal_ends_serving_and_removes_the_socket(tmp_path: Path) -> None:
    socket, (ready, write) = tmp_path / "card.sock", os.pipe()
    command = [sys.executable, "-c", SERVE, str(socket), str(write)]
    with subprocess.Popen(command, pass_fds=[write], stdout=subprocess.PIPE) as process:
        os.close(write)
        assert os.read(ready, 100) == b"ready\n"
        with Client(socket) as client:
            assert client.region_read(CONFIG, 0, 2) == bytes.fromhex("2514")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    os.close(ready)
    assert (process.returncode, out) == (0, b"ended\n")
    assert not socket.exists()


def test_ready_is_called_once_a_client_can_connect(tmp_path: Path) -> None:
    socket, seen = tmp_path / "card.sock", []

    def ready() -> None:
        seen.append(socket.is_socket())
        os.kill(os.getpid(), signal.SIGTERM)

    serve(Card.load("t520-cr"), socket, ready=ready)
    assert seen == [True]
