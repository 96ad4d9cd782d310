"""`vmcoredd dump` with servers that are absent, misbehave or die."""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from cliruns import PATIENCE, Run, dying, one_line
from cut_connections import cut_connections
from vfio_peers import REPLY, Peer, message, scripted_server
from vmcorenotes import FIRST, NOTE_BYTES, dumps, notes

from pyvfio_user import Server
from tests.fuzz.failing_card import FailingServer
from vmcoredd import emu, vmcore
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cudbg.entities.clk_hw_sched import Clk
from vmcoredd.emu.server import running, served

DEADLINE = 0.3
PROBE = 13
"""Accesses to BAR0 before the dump begins."""
DEV_LOG = 32_901


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sock"


def attempt(vmcoredd: Run, path: Path, *options: str) -> str:
    """The error of a dump of the adapter at `path`, which fails and writes nothing."""
    output = path.with_name("vmcore")
    result = vmcoredd("dump", "--socket", path, "-o", output, "--deadline", DEADLINE, *options)
    assert result.code == Exit.NO_DEVICE
    assert not output.exists()
    return one_line(result)


def test_an_absent_socket_is_reported(vmcoredd: Run, path: Path) -> None:
    assert attempt(vmcoredd, path).endswith(f"cannot connect to {path}: No such file or directory")


def test_a_socket_that_nobody_serves_is_reported(vmcoredd: Run, path: Path) -> None:
    with scripted_server(str(path), lambda peer: peer.accept_version()):
        attempt(vmcoredd, path)
    assert attempt(vmcoredd, path).endswith("Connection refused")


def test_a_path_that_is_too_long_is_reported(vmcoredd: Run, tmp_path: Path) -> None:
    assert "107" in attempt(vmcoredd, tmp_path / ("x" * 120))


def test_a_file_that_is_not_a_socket_is_reported(vmcoredd: Run, path: Path) -> None:
    path.write_text("a file")
    assert "cannot connect" in attempt(vmcoredd, path)


def silent(peer: Peer) -> None:
    peer.receive()
    peer.receive()


def stranger(peer: Peer) -> None:
    peer.receive()
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def other_version(peer: Peer) -> None:
    peer.answer(peer.receive(), struct.pack("<HH", 7, 0) + b"{}\0")


def wrong_id(peer: Peer) -> None:
    peer.accept_version()
    request = peer.receive()
    peer.send(message(request.command, request.payload, id=request.id ^ 0x55, flags=REPLY))


def huge(peer: Peer) -> None:
    peer.accept_version()
    request = peer.receive()
    peer.send(message(request.command, id=request.id, flags=REPLY, size=0xFFFFFFFF))


def tiny(peer: Peer) -> None:
    peer.accept_version()
    request = peer.receive()
    peer.send(message(request.command, id=request.id, flags=REPLY, size=3))


def short_answer(peer: Peer) -> None:
    peer.accept_version()
    peer.answer(peer.receive(), b"12")


def hangs_up(peer: Peer) -> None:
    peer.accept_version()
    peer.receive()


def refuses(peer: Peer) -> None:
    peer.accept_version()
    while True:
        peer.answer(peer.receive(), error=13)


SERVERS: list[tuple[Callable[[Peer], None], str]] = [
    (silent, "no answer within 0.3 s"),
    (stranger, "the other end broke the protocol"),
    (other_version, "version"),
    (wrong_id, ""),
    (huge, ""),
    (tiny, ""),
    (short_answer, ""),
    (hangs_up, "the device is gone"),
    (refuses, "-EACCES (Permission denied)"),
]


@pytest.mark.parametrize(
    ("script", "says"), SERVERS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_server_that_breaks_the_protocol_is_abandoned(
    vmcoredd: Run, path: Path, script: Callable[[Peer], None], says: str
) -> None:
    with scripted_server(str(path), script):
        assert says in attempt(vmcoredd, path)


@pytest.mark.parametrize(
    ("vendor", "device", "says"),
    [
        (0x8086, 0x10D3, "the device is 0x8086:0x10d3, not a Chelsio adapter"),
        (0, 0, "the device is 0x0000:0x0000, not a Chelsio adapter"),
        (0x1425, 0x4401, "the device is 0x1425:0x4401, Chelsio's, but neither a T5 nor a T6"),
        (0xFFFF, 0xFFFF, "no device answers: its configuration space is all ones"),
    ],
)
@pytest.mark.parametrize("trace", [[], ["--trace"]], ids=["", "traced"])
def test_nothing_but_the_ids_of_another_device_is_read(
    vmcoredd: Run, path: Path, vendor: int, device: int, says: str, trace: list[str]
) -> None:
    touched: list[tuple[int, bool]] = []
    config = bytearray(struct.pack("<HH", vendor, device) + bytes(60))

    def read_config(offset: int, data: memoryview, is_write: bool) -> None:
        touched.extend([(offset, is_write)] * (is_write or offset > 0))
        data[:] = config[offset : offset + len(data)]

    def access(offset: int, data: memoryview, is_write: bool) -> None:
        touched.append((offset, is_write))

    with Server(path) as server:
        server.config_space(bytes(config), read_config)
        server.region(0, 0x80000, access, bits64=True)
        with running(server):
            assert says in attempt(vmcoredd, path, *trace)
    assert not touched


def test_a_server_that_dies_in_the_probe_leaves_no_dump(vmcoredd: Run, path: Path) -> None:
    with dying(path, PROBE - 1):
        assert "the device is gone" in attempt(vmcoredd, path)


def test_entities_collected_before_a_server_was_killed_are_kept(vmcoredd: Run, path: Path) -> None:
    output = path.with_name("vmcore")
    with dying(path, PROBE + DEV_LOG + 5000) as server:
        result = vmcoredd("dump", "--socket", path, "-o", output, "--deadline", PATIENCE, "--json")
        assert server.wait(PATIENCE) == -signal.SIGKILL
    assert result.code == Exit.INCOMPLETE
    assert "the device is gone" in one_line(result)
    (adapter,) = result.json["adapters"]
    assert adapter["complete"] is False
    assert "the device is gone" in adapter["error"]
    assert adapter["good"] >= 3
    missing = {item["name"]: item["code"] for item in adapter["missing"]}
    assert set(missing.values()) == {-5}
    assert {"LE_TCAM", "EDC0", "MC0", "HMA"} <= missing.keys()


def test_the_vmcore_of_a_killed_server_is_well_formed(vmcoredd: Run, path: Path) -> None:
    output = path.with_name("vmcore")
    with dying(path, PROBE + DEV_LOG + 5000):
        vmcoredd("dump", "--socket", path, "-o", output, "--deadline", PATIENCE)
    assert notes(output)[0] == ("LINUX", 0x700, NOTE_BYTES)
    dump = dumps(output)[FIRST]
    assert len(dump.entities) == 52
    assert dump.decode("DEV_LOG").json()[0]["rows"]
    assert "-5: -EIO" in dump.entity("MC0").status
    with vmcore.Reader(output) as reader:
        assert not reader.damage


def test_an_adapter_beside_one_that_dies_is_dumped_completely(
    vmcoredd: Run, small_card: Path, path: Path
) -> None:
    output = path.with_name("vmcore")
    with dying(path, PROBE + DEV_LOG):
        arguments = ["--socket", path, "--card", small_card, "-o", output, "--deadline", PATIENCE]
        result = vmcoredd("dump", *arguments)
    assert result.code == Exit.INCOMPLETE
    first, second = dumps(output).values()
    assert not first.entity("MC0").good
    assert sum(entity.good for entity in second.entities) == 50


def test_an_adapter_beside_one_that_is_absent_is_dumped(
    vmcoredd: Run, small_card: Path, path: Path
) -> None:
    output = path.with_name("vmcore")
    result = vmcoredd("dump", "--socket", path, "--card", small_card, "-o", output)
    assert result.code == Exit.INCOMPLETE
    assert "No such file or directory" in one_line(result)
    assert list(dumps(output)) == ["cxgb4_0000:00:03.0"]


def test_an_adapter_that_is_removed_in_its_dump_costs_little_time_and_no_other_dump(
    vmcoredd: Run, small_card: Path, path: Path
) -> None:
    """Its registers read all ones from the 41st read on; configuration space is still there."""
    output = path.with_name("vmcore")
    removed = {"how": "ones", "after": 40, "low": 0, "high": 0x7FFFF, "chance": 1}
    failure = removed | {"config": False, "seed": 0}
    card = emu.Card.load("t62100-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
    with FailingServer(path, card, failure) as server, running(server):
        result = vmcoredd("dump", "--socket", path, "--card", small_card, "-o", output, "--json")
    assert result.code == Exit.INCOMPLETE
    says = "no data from DEV_LOG on: the adapter reads all ones: it is gone"
    assert says in one_line(result)
    gone, whole = result.json["adapters"]
    assert says in gone["error"]
    assert (gone["lost_from"], gone["good"], gone["failed"]) == ("DEV_LOG", 2, 50)
    assert gone["elapsed_seconds"] < 3
    assert {item["code"] for item in gone["missing"]} == {-5}
    assert (whole["lost_from"], whole["complete"]) == (None, True)
    first, second = dumps(output).values()
    assert [entity.name for entity in first.entities if entity.good] == ["MBOX_LOG", "QDESC"]
    assert sum(entity.good for entity in second.entities) == 50


def test_a_bug_in_a_collector_is_told_as_such(
    vmcoredd: Run, small_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise IndexError("no such row")

    monkeypatch.setattr(Clk, "collect", broken)
    output = tmp_path / "vmcore"
    result = vmcoredd("dump", "--card", small_card, "-o", output)
    assert result.code == Exit.INCOMPLETE
    says = "CLK is not in the dump: -29: system error, a bug: IndexError('no such row')"
    assert says in result.out
    assert "Traceback" not in result.err


def test_a_connection_that_was_cut_and_made_again_is_told(vmcoredd: Run, path: Path) -> None:
    card = emu.Card.load("t62100-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
    behind, output = path.with_name("behind"), path.with_name("vmcore")
    for options in ([], ["--json"]):
        path.unlink(missing_ok=True)
        cuts = [(behind, 400_000), (behind, None)]
        with served(card, behind), cut_connections(path, cuts):
            result = vmcoredd("dump", "--socket", path, "-o", output, "--force", *options)
        assert (result.code, result.err) == (Exit.OK, "")
        if options:
            (adapter,) = result.json["adapters"]
            ((lost, times),) = (entry.values() for entry in adapter["reconnected"])
            assert (times, adapter["complete"], adapter["lost_from"]) == (1, True, None)
            assert dumps(output)[FIRST].entity(lost).good
        else:
            assert "connection lost in CIM_" in result.out
            assert "and made again, 1 time\n" in result.out


def test_another_adapter_behind_the_socket_is_not_taken_for_the_same(
    vmcoredd: Run, path: Path
) -> None:
    behind, other = path.with_name("behind"), path.with_name("other")
    cards = [emu.Card.load("t62100-cr", seed, memory={"mc0": 1}) for seed in (1, 2)]
    with (
        served(cards[0], behind),
        served(cards[1], other),
        cut_connections(path, [(behind, 400_000), (other, None)]),
    ):
        result = vmcoredd("dump", "--socket", path, "-o", path.with_name("vmcore"), "--json")
    assert result.code == Exit.INCOMPLETE
    assert "; reconnect: another adapter answers (640d1425 " in one_line(result)
    (adapter,) = result.json["adapters"]
    assert (adapter["serial"], adapter["reconnected"]) == ("", [])
