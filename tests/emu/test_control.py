"""The control socket of a served card: its verbs, its clients, and those that mean harm."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import stat
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from emumail import Mailbox

from pyvfio_user import Client as VfioClient
from pyvfio_user import ListenError, Server, library_version
from vmcoredd import driver, emu
from vmcoredd.chip.firmware import Devlog
from vmcoredd.emu.control import (
    VERBS,
    Client,
    Control,
    ControlError,
    NoControlSocket,
    RequestRefused,
    Served,
    beside,
    server,
    tracing,
    verbs,
)
from vmcoredd.emu.control.protocol import LINE, TEXT
from vmcoredd.emu.server import attach, running, served
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.events import Decoder, words_of_request
from vmcoredd.trace.records import Assembler, Record, Source, count
from vmcoredd.trace.records import Kind as Trace

pytestmark = pytest.mark.skipif(library_version() is None, reason="built without libvfio-user")

PAGE = Path(__file__).parents[2] / "docs/reference/control.md"
SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
WAIT = 20.0
NO_FAULTS: dict[str, list[str]] = {"faults": [], "waiting_faults": []}


@pytest.fixture(scope="module")
def fresh() -> tuple[emu.Card, emu.Snapshot]:
    card = emu.Card.load("t62100-cr", memory=SMALL)
    return card, card.snapshot()


@pytest.fixture
def card(fresh: tuple[emu.Card, emu.Snapshot]) -> emu.Card:
    card, before = fresh
    card.restore(before)
    card.access_log.clear()
    return card


@pytest.fixture
def path(card: emu.Card, tmp_path: Path) -> Iterator[Path]:
    """The card's socket, with a control socket beside it. In the end another client is answered."""
    socket = tmp_path / "t6.sock"
    with served(card, socket, control=beside(socket)):
        yield socket
        with Client(socket, deadline=WAIT) as client:
            assert client.ask("help")["verbs"]
    assert sorted(tmp_path.glob("t6.*")) == []


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    with Client(path, deadline=WAIT) as client:
        yield client


class Raw:
    """A connection that may send anything."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT)
        self.socket.connect(str(beside(path)))
        self.file = self.socket.makefile("rb")
        assert json.loads(self.file.readline())["event"] == "ready"

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> dict[str, Any] | None:
        """The next answer; None if the connection has ended."""
        try:
            line = self.file.readline()
        except ConnectionResetError:
            return None
        return dict(json.loads(line)) if line else None

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def raw(path: Path) -> Iterator[Raw]:
    with contextlib.closing(Raw(path)) as raw:
        yield raw


# Verbs


def test_the_page_lists_the_verbs_with_their_keys() -> None:
    table = PAGE.read_text().split("| verb | keys |")[1].split("\n\n")[0]
    rows = re.findall(r"(?m)^\| `([\w-]+)` \|(.*?)\|", table)
    keys = {name: re.findall(r"`(\w+)`", cell) for name, cell in rows}
    assert keys == {verb.name: [*verb.keys] for verb in VERBS.values()}


def test_help_lists_the_verbs_with_what_they_take(client: Client) -> None:
    told = {each["verb"]: each["keys"] for each in client.ask("help")["verbs"]}
    assert told.keys() == VERBS.keys()
    assert told["link"] == {
        "up": "a number from 0 to 2^63 - 1",
        "down": "a number from 0 to 2^63 - 1",
    }


def test_state_tells_who_is_attached_and_what_came(client: Client, path: Path) -> None:
    before = client.ask("state")
    assert (before["card"], before["seed"], before["client"]) == ("t62100-cr", 0, None)
    with VfioClient(path, deadline=WAIT) as vfio:
        for _ in range(5):
            vfio.region_read(0, 0x19400, 4)
        state = client.ask("state")
    assert state["client"] == {"process": os.getpid(), "user": os.getuid()}
    assert state["messages"] >= before["messages"] + 5
    assert state["accesses"]["read4"] == before["accesses"]["read4"] + 5


def devlogs(state: dict[str, Any]) -> int:
    return sum(one["count"] for one in state["commands"] if one["command"] == "DEVLOG")


def test_state_tells_commands_and_the_words_of_every_block(client: Client, card: emu.Card) -> None:
    def words(state: dict[str, Any]) -> int:
        others = ("config", "doorbells", "MSI-X")
        blocks = [one for one in state["blocks"] if one["block"] not in others]
        return sum(one["words_read"] + one["words_written"] for one in blocks)

    def accessed(counts: dict[str, int]) -> int:
        runs = counts["read_run_words"] + counts["write_run_words"]
        return runs + sum(counts[f"{do}{n}"] * n // 4 for do in ("read", "write") for n in (4, 8))

    before = client.ask("state")
    with driver.open_card(card) as adapter:
        adapter.collect(memoryview(bytearray(32 << 20)), compress="none")
    Mailbox(card).do(Devlog())
    after = client.ask("state")
    grown = accessed(after["accesses"]) - accessed(before["accesses"])
    assert words(after) - words(before) == grown > 1 << 20
    counts = [
        {one["command"]: one["count"] for one in state["commands"]} for state in (before, after)
    ]
    assert counts[1]["DEVLOG"] == counts[0].get("DEVLOG", 0) + 1


def test_state_tells_ports_queues_and_firmware(client: Client) -> None:
    state = client.ask("state")
    assert [port["port"] for port in state["ports"]] == [0, 1]
    assert state["ports"][0]["gbit_per_second"] == 100
    assert state["ports"][0]["sent"]["frames"] > 0
    assert state["firmware"]["mode"] == "alive"
    assert state["access_log"]["undescribed"] == 0


def test_a_fault_is_on_at_once_and_listed(client: Client, card: emu.Card) -> None:
    assert client.ask("fault") == NO_FAULTS
    assert client.ask("fault", on=["firmware-error"])["faults"] == ["firmware-error"]
    assert card.read(card.chip.r.PCIE_FW) & 1 << 31
    on = ["firmware-error", "firmware-slow"]
    assert client.ask("fault", on=["firmware-slow"])["faults"] == on
    assert client.ask("state")["firmware"]["mode"] == "slow"


def test_a_fault_waits_for_its_trigger_until_it_is_called_off(
    client: Client, path: Path, card: emu.Card
) -> None:
    first, second = "firmware-slow@read:PL_WHOAMI:2", "le-busy@command:VI"
    assert client.ask("fault", on=[first, second])["waiting_faults"] == [first, second]
    assert client.ask("fault", off=[second]) == {"faults": [], "waiting_faults": [first]}
    with VfioClient(path, deadline=WAIT) as vfio:
        for _ in range(2):
            vfio.region_read(0, int(card.chip.r.PL_WHOAMI), 4)
        assert client.ask("state")["faults"] == ["firmware-slow"]
    client.ask("fault", on=["vpd-slow"])
    with pytest.raises(RequestRefused, match="vpd-slow came after firmware-slow: name that too"):
        client.ask("fault", off=["firmware-slow"])
    assert client.ask("fault", off=["firmware-slow", "vpd-slow"]) == NO_FAULTS
    with pytest.raises(RequestRefused, match="firmware-slow is not on"):
        client.ask("fault", off=["firmware-slow"])
    with pytest.raises(RequestRefused, match="le-busy@command:VI is not waiting; none does"):
        client.ask("fault", off=[second])


def test_a_fault_with_an_argument_is_listed_with_it(client: Client) -> None:
    both = ["firmware-retval=EIO", "firmware-retval=EBUSY"]
    assert client.ask("fault", on=both)["faults"] == both
    with pytest.raises(RequestRefused, match="firmware-retval=ENOMEM is not on"):
        client.ask("fault", off=["firmware-retval=ENOMEM"])
    with pytest.raises(RequestRefused, match="no retval EVIL; did you mean"):
        client.ask("fault", on=["firmware-retval=EVIL"])
    assert client.ask("fault", off=both) == NO_FAULTS


def test_faults_that_no_card_or_not_this_one_has_are_refused(client: Client) -> None:
    with pytest.raises(
        RequestRefused, match="no fault firmware-crush; did you mean firmware-crash"
    ):
        client.ask("fault", on=["firmware-error", "firmware-crush"])
    with pytest.raises(RequestRefused, match="it has no Ethernet port 3"):
        client.ask("fault", on=["link-down-port3"])
    with pytest.raises(RequestRefused, match="did you mean PL_WHOAMI"):
        client.ask("fault", on=["firmware-error", "le-busy@read:PL_WHOAMY"])
    assert client.ask("fault") == NO_FAULTS


def test_a_pulled_cable_takes_the_link_down_until_it_is_plugged_in(
    client: Client, card: emu.Card
) -> None:
    def is_up() -> list[bool]:
        return [port["up"] for port in client.ask("link")["ports"]]

    assert is_up() == [True, True]
    assert client.ask("link", down=1)["ports"][1] == {"port": 1, "up": False, "pulled": True}
    assert is_up() == [True, False]
    status = card.chip.r.MAC_PORT_LINK_STATUS
    assert card.core.spaces.get(status, 1) & status.mask("linkdn")
    client.ask("link", up=1)
    assert is_up() == [True, True]


def test_a_port_that_is_not_there_is_refused(client: Client) -> None:
    with pytest.raises(RequestRefused, match="no port 2: a t62100-cr has 2 ports"):
        client.ask("link", down=2)


def test_the_log_goes_on_where_it_was_left(client: Client) -> None:
    first = client.ask("log")
    assert first["firmware"][0]["record"] == 0
    assert first["firmware_next"] == len(first["firmware"])
    place = {"firmware_from": first["firmware_next"], "accesses_from": first["accesses_next"]}
    assert client.ask("log", **place)["firmware"] == []
    client.ask("fault", on=["firmware-crash"])
    (*_, last) = client.ask("log", **place)["firmware"]
    assert (last["level"], last["format"]) == ("EMERG", "crash: the firmware has stopped")


def test_the_log_has_accesses_that_are_refused(client: Client, card: emu.Card) -> None:
    whoami = card.chip.r.PL_WHOAMI
    for _ in range(2):
        with contextlib.suppress(emu.AccessError):
            card.bar_read(0, int(whoami) + 1, 4)
    (access,) = client.ask("log")["accesses"]
    assert (access["kind"], access["count"]) == ("guest_size", 2)
    assert client.ask("log", accesses_from=1)["accesses"] == []


def test_a_log_longer_than_an_answer_comes_in_parts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.ask("log")["firmware"]
    monkeypatch.setattr(verbs, "RECORDS", 20)
    parts, place = [], 0
    while answer := client.ask("log", firmware_from=place)["firmware"]:
        assert len(answer) <= 20
        parts += answer
        place = parts[-1]["record"] + 1
    assert parts == whole


def test_a_snapshot_brings_back_the_card_and_its_faults(client: Client, card: emu.Card) -> None:
    client.ask("fault", on=["firmware-slow"])
    (kept,) = client.ask("snapshot", name="slow")["snapshots"]
    assert kept["name"] == "slow"
    assert kept["size_bytes"] > 1 << 20
    client.ask("fault", on=["firmware-error"])
    assert client.ask("restore", name="slow")["faults"] == ["firmware-slow"]
    assert client.ask("state")["firmware"]["mode"] == "slow"
    assert client.ask("snapshot", forget="slow") == {"snapshots": []}
    with pytest.raises(RequestRefused, match="no snapshot 'slow'; none is kept"):
        client.ask("restore", name="slow")


def test_snapshots_are_limited(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "SNAPSHOTS", 1)
    client.ask("snapshot", name="one")
    client.ask("snapshot", name="one")  # in its place
    with pytest.raises(RequestRefused, match="1 snapshot is kept already: forget one"):
        client.ask("snapshot", name="two")


def test_reset_frees_what_a_driver_has_allocated(client: Client, card: emu.Card) -> None:
    assert card.firmware.state.master is not None
    assert client.ask("reset") == {}
    assert client.ask("state")["firmware"]["master"] is None


def test_stop_is_answered_and_ends_the_server(card: emu.Card, tmp_path: Path) -> None:
    at = tmp_path / "t6.sock"
    with Server(at) as one:
        attach(card, one)
        thread = threading.Thread(target=one.run)
        with Control(Served(card, one), beside(at)), Client(at) as client:
            thread.start()
            assert client.ask("stop") == {}
            thread.join(WAIT)
            assert not thread.is_alive()


# Requests


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", "not JSON"),
        (b"state", "not JSON"),
        (b'{"do": "state"', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b'{"do": ' + b"9" * 60_000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", 'no "do"; there is help, state, '),
        (b'{"do": 1}', "no verb 1; there is help, state, "),
        (b'{"do": "stat"}', 'no verb "stat"; did you mean state?'),
        (b'{"do": "state", "of": 1}', 'state has no key "of"; it takes none'),
        (b'{"do": "link", "dwon": 1}', 'link has no key "dwon"; did you mean down?'),
        (b'{"do": "link", "down": "0"}', '"down" of link is not a number'),
        (b'{"do": "link", "down": true}', '"down" of link is not a number'),
        (b'{"do": "link", "down": -1}', '"down" of link is not a number'),
        (b'{"do": "fault", "on": "x"}', '"on" of fault is not a list'),
        (b'{"do": "fault", "on": [1]}', '"on" of fault is not a list'),
        (b'{"do": "restore", "name": "a\\nb"}', '"name" of restore is not a text'),
        (b'{"do": "restore"}', 'restore needs "name"'),
        (b'{"do": "state", "id": []}', '"id" is not'),
        (b'{"do": "state", "id": "' + b"x" * (TEXT + 1) + b'"}', '"id" is not'),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_request_gets_an_error_and_the_next_an_answer(
    raw: Raw, line: bytes, error: str
) -> None:
    raw.send(line + b"\n")
    answer = raw.answer()
    assert answer
    assert (answer["ok"], error in answer["error"]) == (False, True), answer
    assert len(answer["error"]) < 1000
    raw.send(b'{"do": "fault", "id": 7}\n')
    assert raw.answer() == {"ok": True, "id": 7, **NO_FAULTS}


def test_an_answer_has_the_id_of_its_request(raw: Raw) -> None:
    raw.send(b'{"do": "fault", "id": "one"}\n{"do": "x", "id": 2}\n{"do": "help"}\n')
    answers = [raw.answer() or {} for _ in range(3)]
    assert [answer.get("id") for answer in answers] == ["one", 2, None]
    assert [answer["ok"] for answer in answers] == [True, False, True]


def test_a_request_that_fails_says_so_and_the_card_is_served(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    def fail(self: emu.Card, _source: Source) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(emu.Card, "reset", fail)
    with pytest.raises(RequestRefused, match=r"it failed: ZeroDivisionError\('planted'\)"):
        client.ask("reset")
    monkeypatch.undo()
    with VfioClient(path, deadline=WAIT) as vfio:
        assert len(vfio.region_read(0, 0, 4)) == 4


# Clients


def test_half_a_line_gets_an_error_and_harms_nobody(raw: Raw) -> None:
    raw.send(b'{"do": "sta')
    raw.socket.shutdown(socket.SHUT_WR)
    assert raw.answer() == {"ok": False, "error": "a request ends with a newline, the last one too"}
    assert raw.answer() is None


def test_a_line_that_is_too_long_gets_an_error_and_ends_the_connection(raw: Raw) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        raw.send(b" " * (4 * LINE))
    answer = raw.answer()
    assert answer is None or answer["error"] == f"a request has at most {LINE} bytes, with its end"
    assert raw.answer() is None


def test_a_client_that_does_not_read_is_cut_off(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READING", 0.2)
    with contextlib.closing(Raw(path)) as raw:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_for_ever(raw)


def send_for_ever(raw: Raw) -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        raw.send(b'{"do": "help"}\n' * 100)


def test_a_client_that_leaves_in_the_middle_of_its_request_harms_nobody(path: Path) -> None:
    for _ in range(20):
        with contextlib.closing(Raw(path)) as raw:
            raw.send(b'{"do": "state"}\n' * 10)


def test_the_client_that_has_been_idle_for_longest_makes_room(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        raws = [stack.enter_context(contextlib.closing(Raw(path))) for _ in range(server.CLIENTS)]
        for raw in raws[1:]:
            raw.send(b'{"do": "fault"}\n')
            assert raw.answer()
        stack.enter_context(contextlib.closing(Raw(path)))
        assert raws[0].answer() is None
        for raw in raws[1:]:
            raw.send(b'{"do": "fault"}\n')
            assert raw.answer() == {"ok": True, **NO_FAULTS}


def test_clients_that_come_at_once_are_no_more_than_others(path: Path) -> None:
    """All are accepted before the first of those that make room is gone."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(60)]
        for one in connections:
            one.settimeout(WAIT)
            one.connect(str(beside(path)))
        assert sum(not has_ended(one) for one in connections) == server.CLIENTS


def has_ended(connection: socket.socket) -> bool:
    """Whether the server has cut off a client; one that stays is greeted and answered."""
    try:
        connection.sendall(b'{"do": "help"}\n')
        lines = connection.makefile("rb")
        return not (lines.readline() and lines.readline())
    except ConnectionError:
        return True


def test_several_clients_are_answered_at_once(path: Path) -> None:
    def ask(number: int) -> set[int]:
        with Client(path, deadline=WAIT) as client:
            return {client.ask("fault", id=number)["id"] for _ in range(50)}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [{number} for number in range(8)]


def test_while_a_message_does_not_end_the_card_is_busy_and_the_rest_is_answered(
    card: emu.Card, tmp_path: Path
) -> None:
    at = tmp_path / "t6.sock"
    with Server(at, deadline=WAIT) as one, contextlib.ExitStack() as stack:
        attach(card, one)
        stack.enter_context(Control(Served(card, one), beside(at), patience=1.0))
        stack.enter_context(running(one))
        half = stack.enter_context(socket.socket(socket.AF_UNIX))
        half.connect(str(at))
        version = b'{"capabilities":{}}\0'
        half.sendall(struct.pack("<HHIIIHH", 1, 1, 20 + len(version), 0, 0, 0, 1) + version)
        half.recv(4096)
        client = stack.enter_context(Client(at, deadline=WAIT))
        assert client.ask("fault") == NO_FAULTS
        half.sendall(struct.pack("<HHIII", 2, 9, 32, 0, 0))  # without its body
        with pytest.raises(RequestRefused, match="busy: the thread that serves the card") as told:
            ask_for_ever(client)
        assert told.value.busy
        assert client.ask("help")["verbs"]
        half.close()
        assert client.ask("fault") == NO_FAULTS


def ask_for_ever(client: Client) -> None:
    """Until the server has received the half message."""
    while True:
        client.ask("state")


def test_a_dump_is_the_same_while_clients_ask(card: emu.Card, path: Path) -> None:
    def dumped() -> tuple[bytes, int]:
        buffer = bytearray(16 << 20)
        with driver.open(path) as adapter:
            report = adapter.collect(memoryview(buffer), compress="none")
        assert not report.dead
        return bytes(buffer), len(report.entities)

    before = card.snapshot()
    expected = dumped()
    with Client(path, deadline=WAIT) as client:
        client.ask("state")
    card.restore(before)
    stop, asked = threading.Event(), []

    def ask(do: str) -> None:
        with Client(path, deadline=WAIT) as client:
            while not stop.is_set():
                client.ask(do)
                asked.append(do)

    with ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, do) for do in ("state", "log", "link")]
        try:
            assert dumped() == expected
        finally:
            stop.set()
        for each in asking:
            each.result(WAIT)
    assert len(asked) > 10


# The socket


@pytest.mark.parametrize(
    ("path", "control"),
    [
        ("/run/t6.sock", "/run/t6.ctl"),
        ("/run/t6.socket", "/run/t6.ctl"),
        ("/run/t6", "/run/t6.ctl"),
        ("/run/card.0", "/run/card.0.ctl"),
        ("/run/t6.ctl", "/run/t6.ctl.ctl"),
    ],
)
def test_it_is_beside_the_adapters(path: str, control: str) -> None:
    assert beside(path) == Path(control)


def test_it_has_the_given_mode(card: emu.Card, tmp_path: Path) -> None:
    with Server(tmp_path / "t6.sock") as one, Control(Served(card, one), tmp_path / "c", 0o620):
        assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o620


def test_a_stale_socket_is_replaced_and_a_live_one_is_an_error(
    card: emu.Card, tmp_path: Path
) -> None:
    at = tmp_path / "stale.ctl"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(at))
    with served(card, tmp_path / "one", control=at):
        with pytest.raises(ListenError, match="another server listens there"):
            serve_another(tmp_path / "two", at)
        assert not (tmp_path / "two").exists()
        with Client(at, deadline=WAIT) as client:
            assert client.ask("fault") == NO_FAULTS


def serve_another(path: Path, control: Path) -> None:
    with served(emu.Card.load("t520-cr", memory=SMALL), path, control=control):
        pass


def test_what_cannot_be_a_socket_is_an_error(card: emu.Card, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ListenError, match="it exists and is no socket"):
        serve_another(tmp_path / "t6.sock", tmp_path / "file")
    with pytest.raises(ListenError, match=r"the path has \d+ bytes, a socket's may have 107"):
        serve_another(tmp_path / "t6.sock", tmp_path / ("x" * 120))
    assert not (tmp_path / "t6.sock").exists()


def test_an_adapters_socket_without_one_says_what_may_be_wrong(
    card: emu.Card, tmp_path: Path
) -> None:
    at = tmp_path / "t6.sock"
    with served(card, at):
        with pytest.raises(NoControlSocket, match=f"no control socket beside {at}: was it served"):
            Client(at)
        with VfioClient(at, deadline=WAIT) as vfio:
            assert len(vfio.region_read(0, 0, 4)) == 4
    with pytest.raises(ControlError, match="No such file or directory"):
        Client(at)


@pytest.mark.parametrize("count", [0, *[3] * 10])
def test_a_server_that_ends_ends_its_control_clients(
    card: emu.Card, tmp_path: Path, count: int
) -> None:
    """Also those that were greeted in this moment."""
    with served(card, tmp_path / "t6.sock", control=tmp_path / "c"):
        clients = [Client(tmp_path / "c", deadline=WAIT) for _ in range(count)]
    for client in clients:
        with pytest.raises(ControlError):
            client.ask("state")
        client.close()


# Traces


def test_a_trace_is_taken_while_a_client_works(client: Client, path: Path, card: emu.Card) -> None:
    before = card.accesses
    begun = client.ask("trace")
    with driver.open(path) as adapter:
        adapter.collect(memoryview(bytearray(32 << 20)), compress="none", entities=["CIM_QCFG"])
    whole, records = Assembler(), list[Record]()
    while (answer := client.ask("trace-take"))["size_bytes"]:
        piece = zlib.decompress(base64.b64decode(answer["records"]))
        assert len(piece) == answer["size_bytes"]
        records += whole.add(piece)
    after = card.accesses
    assert count(records)._asdict() == {name: after[name] - before[name] for name in after}
    assert next(iter(Decoder(begun["header"]).events(records))).kind == "attached"
    assert client.ask("trace-end")["lost"] == 0
    with pytest.raises(RequestRefused, match="no trace"):
        client.ask("trace-take")


def test_a_trace_is_recorded_to_a_new_file(client: Client, path: Path, tmp_path: Path) -> None:
    file = tmp_path / "trace.npz"
    assert client.ask("trace", to=str(file)) == {"file": str(file)}
    with pytest.raises(RequestRefused, match="traced already"):
        client.ask("trace")
    with driver.open(path):
        pass
    client.ask("link", down=0)
    client.ask("link", up=0)
    ended = client.ask("trace-end")
    with Reader(file) as reader:
        records = list(reader.records())
    assert reader.end == ended
    asked = [words_of_request(record) for record in records if record.kind == Trace.CONTROL]
    assert asked == ["link down 0", "link up 0"]
    with pytest.raises(RequestRefused, match="exists"):
        client.ask("trace", to=str(file))
    with pytest.raises(RequestRefused, match="No such file"):
        client.ask("trace", to=str(tmp_path / "no/trace.npz"))


def test_a_trace_may_have_a_long_path(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    file = str(folder / "trace.npz")
    assert client.ask("trace", to=file) == {"file": file}
    client.ask("trace-end")


def test_a_trace_begins_when_no_access_is_left_of_the_last(
    client: Client, path: Path, monkeypatch: pytest.MonkeyPatch, card: emu.Card
) -> None:
    """It may still use the last ring, whose memory the new one's begin frees."""
    monkeypatch.setattr(tracing, "ACCESS", 0.05)
    begun, done = threading.Event(), threading.Event()

    def slow(_is_write: bool) -> None:
        begun.set()
        done.wait(WAIT)

    unwatch = card.core.watch(card.chip.r.words("PL_WHOAMI"), slow)
    client.ask("trace")
    with VfioClient(path, deadline=WAIT) as vfio, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(vfio.region_read, 0, int(card.chip.r.PL_WHOAMI), 4)
        assert begun.wait(WAIT)
        client.ask("trace-end")
        with pytest.raises(RequestRefused, match="busy: the last access has not ended"):
            client.ask("trace")
        done.set()
        reading.result(WAIT)
        client.ask("trace")
    client.ask("trace-end")
    unwatch()


def test_a_trace_that_nobody_takes_ends(
    client: Client, card: emu.Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "PATIENCE", 0.05)
    client.ask("trace")
    end = time.monotonic() + WAIT
    while card.core.is_recorded:
        assert time.monotonic() < end
        time.sleep(0.01)
    with pytest.raises(RequestRefused, match="no trace"):
        client.ask("trace-end")


def test_a_trace_ends_with_its_server(card: emu.Card, tmp_path: Path) -> None:
    socket, file = tmp_path / "t6.sock", tmp_path / "trace.npz"
    with served(card, socket, control=beside(socket)), Client(socket, deadline=WAIT) as client:
        client.ask("trace", to=str(file))
    assert not card.core.is_recorded
    with Reader(file) as reader:
        list(reader.records())
    assert reader.end is not None
