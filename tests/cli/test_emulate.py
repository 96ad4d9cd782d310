"""`vmcoredd emulate`: an adapter on a socket, from start to end."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import socket
import stat
from pathlib import Path

import pytest
from cliruns import PATIENCE, Run, command, emulated, ended, one_line, ready

from vmcoredd import driver
from vmcoredd.cli.exit_codes import Exit

CARD = ["--card", "t62100-cr"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t6.sock"


def stale(path: Path) -> None:
    """Leaves a socket without a listener."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def test_a_line_of_json_says_that_clients_can_connect(path: Path) -> None:
    with emulated(*CARD, "--seed", 7, "--socket", path) as process:
        line = ready(process)
        with driver.open(path) as adapter:
            assert adapter.probed.product == "T62100-CR"
    assert (line["event"], line["card"], line["seed"]) == ("ready", "t62100-cr", 7)
    assert line["socket"] == str(path)
    assert json.loads(line["qemu"][-1])["socket"] == {"type": "unix", "path": str(path)}


def shown_on_a_terminal(path: Path, *options: str) -> str:
    """What the command shows on its terminal until ^C."""
    child, terminal = pty.fork()
    if not child:
        words = command("emulate", *CARD, "--socket", path, *options)
        os.execv(words[0], words)
    shown = b""
    while not shown.rstrip().endswith((b"press ^C to stop", b"}'")):
        shown += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == Exit.OK
    return shown.decode()


def test_a_terminal_shows_lines_to_paste(path: Path) -> None:
    lines = shown_on_a_terminal(path).splitlines()
    assert lines[0] == "Serving t62100-cr, seed 0, scene crashed. Press ^C to stop."
    assert f"vmcoredd dump --socket {path} -o vmcore" in lines
    (device,) = [line for line in lines if "-device" in line]
    (word,) = shlex.split(device)[1:]
    assert json.loads(word)["socket"]["path"] == str(path)


def test_a_terminal_gets_json_on_request(path: Path) -> None:
    line, *_ = shown_on_a_terminal(path, "--json").splitlines()
    assert json.loads(line)["event"] == "ready"


def test_the_line_goes_to_the_given_descriptor(path: Path) -> None:
    reading, writing = os.pipe()
    options = {"pass_fds": [writing]}
    with emulated(*CARD, "--socket", path, "--ready-fd", writing, **options) as process:
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert json.loads(pipe.read())["event"] == "ready"
        assert ended(process, signal.SIGTERM).out == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_leaves_nothing_behind(
    path: Path, number: signal.Signals
) -> None:
    with emulated(*CARD, "--socket", path) as process:
        ready(process)
        result = ended(process, number)
    assert result.code == Exit.OK
    assert list(path.parent.iterdir()) == []


def test_a_stale_socket_is_replaced(path: Path) -> None:
    stale(path)
    with emulated(*CARD, "--socket", path) as process:
        ready(process)
        with driver.open(path) as adapter:
            assert adapter.probed.product == "T62100-CR"


def test_the_socket_of_a_running_server_is_not_taken(vmcoredd: Run, path: Path) -> None:
    with emulated(*CARD, "--socket", path) as process:
        ready(process)
        refused = vmcoredd("emulate", *CARD, "--socket", path)
        assert refused.code == Exit.FAILED
        assert "another server listens there" in one_line(refused)
        with driver.open(path) as adapter:
            assert adapter.probed.product == "T62100-CR"


def test_a_file_that_is_not_a_socket_is_not_replaced(vmcoredd: Run, path: Path) -> None:
    path.write_text("precious")
    refused = vmcoredd("emulate", *CARD, "--socket", path)
    assert refused.code == Exit.FAILED
    assert "no socket" in one_line(refused)
    assert path.read_text() == "precious"


def test_only_the_owner_can_use_the_socket(path: Path) -> None:
    with emulated(*CARD, "--socket", path) as process:
        ready(process)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_sockets_mode_and_owner_can_be_chosen(path: Path) -> None:
    owner = os.geteuid()
    with emulated(*CARD, "--socket", path, "--mode", "660", "--owner", owner) as process:
        ready(process)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_uid == owner


def test_invalid_accesses_are_logged_once_by_register_name(path: Path) -> None:
    with emulated(*CARD, "--socket", path) as process:
        ready(process)
        with driver.open(path) as adapter:
            for _ in range(3):
                adapter.io.write(0x1943C, 0)
            adapter.io.read(0)
        result = ended(process, signal.SIGTERM)
    assert result.err.count("PL_REV") == 1
    assert "read-only" in result.err


def test_a_fault_is_switched_on(path: Path) -> None:
    arguments = ["--socket", path, "--fault", "device-gone"]
    with emulated(*CARD, *arguments) as process:
        ready(process)
        with pytest.raises(driver.ProbeError, match="no device answers"):
            driver.open(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--card", "t9999-cr"], "--card: no card is called t9999-cr; there are t520-cr, "),
        ([*CARD, "--fault", "no-such"], "--fault: no fault is called no-such; "),
        ([*CARD, "--fault", "le-busy@now"], "--fault: le-busy@now: not a fault; type FAULT or "),
        ([*CARD, "--mode", "999"], "999 is not an octal file mode"),
    ],
    ids=["card", "fault", "trigger", "mode"],
)
def test_unknown_values_are_wrong_usage(
    vmcoredd: Run, path: Path, arguments: list[str], says: str
) -> None:
    result = vmcoredd("emulate", "--socket", path, *arguments)
    assert result.code == Exit.USAGE
    assert says in result.err
    assert "Traceback" not in result.err
    assert not path.exists()


@pytest.mark.parametrize(
    ("socket_path", "says"),
    [("x" * 120, "a socket's may have 107"), ("absent/t6.sock", "No such file or directory")],
    ids=["too long", "no folder"],
)
def test_a_socket_that_cannot_be_created_is_refused(
    vmcoredd: Run, tmp_path: Path, socket_path: str, says: str
) -> None:
    result = vmcoredd("emulate", *CARD, "--socket", tmp_path / socket_path)
    assert result.code == Exit.FAILED
    assert says in one_line(result)


def test_an_unknown_owner_is_refused(vmcoredd: Run, path: Path) -> None:
    result = vmcoredd("emulate", *CARD, "--socket", path, "--owner", "nobody-of-that-name")
    assert result.code == Exit.FAILED
    assert "there is no user nobody-of-that-name" in one_line(result)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("mc0 = 1", 'mc0 = "big"'), ":13: memory.mc0: must be a whole number"),
        (("mc0 = 1", "mc0 = 5000"), ":13: memory.mc0: must be 0 to 1024, not 5000"),
        (("mc0 = 1", "mc9 = 1"), ":13: memory.mc9: unknown field; there are edc0, "),
        (("[memory]", "[memories]"), ":10: memories: unknown section; there are card, "),
        (("edc1 = 1", "edc1 = 2"), ":12: memory.edc1: the driver needs EDC0 and EDC1 of one size"),
        (("device_id = 0x640d", ""), ":2: card.device_id: missing"),
        (("mc0 = 1", "mc0 = "), ":13: Invalid value"),
    ],
    ids=["type", "limit", "field", "section", "rule", "missing", "syntax"],
)
def test_a_malformed_card_is_refused_with_file_line_and_field(
    vmcoredd: Run, small_card: Path, path: Path, change: tuple[str, str], says: str
) -> None:
    toml = path.with_name("bad.toml")
    toml.write_text(small_card.read_text().replace(*change))
    result = vmcoredd("emulate", "--card", toml, "--socket", path)
    assert result.code == Exit.USAGE
    assert f"{toml}{says}" in one_line(result)


def test_clients_are_served_one_after_another(path: Path) -> None:
    with emulated(*CARD, "--socket", path) as process:
        ready(process)
        for _ in range(3):
            with driver.open(path, deadline=PATIENCE) as adapter:
                assert adapter.probed.product == "T62100-CR"


# Wires and captures


def test_the_line_says_where_each_port_leads(path: Path) -> None:
    socket, capture = path.parent / "w", path.parent / "port0.pcapng"
    options = ["--scene", "fresh", "--wire", f"1=stream:{socket}", "--pcap", f"0={capture}"]
    with emulated(*CARD, *options, "--socket", path) as process:
        line = ready(process)
        assert capture.exists()
        assert not socket.exists()  # its port is off
        assert ended(process, signal.SIGTERM).code == Exit.OK
    nowhere = {"peer": None, "local": None, "remote": None}
    assert line["ports"] == [
        {"port": 0, "wire": "idle", "capture": str(capture), **nowhere},
        {"port": 1, "wire": "stream", "capture": None, **nowhere, "local": str(socket)},
    ]


def test_a_terminal_shows_where_each_port_leads(path: Path) -> None:
    both = shown_on_a_terminal(path, "--wire", "0=1").splitlines()
    assert both[1:3] == ["  port 0: port 1", "  port 1: port 0"]
    socket = path.parent / "w"
    shown = shown_on_a_terminal(path, "--wire", f"0=stream:{socket}", "--wire", "1=open")
    assert f"server=off,addr.type=unix,addr.path={socket},reconnect-ms=500" in shown
    assert "  port 1: no cable" in shown.splitlines()


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (["--wire", "0=wire"], Exit.USAGE, "0=wire: unknown; type 0=1"),
        (["--wire", "0=1", "--wire", "1=open"], Exit.USAGE, "port 1 has two wires"),
        (["--wire", "0=tap:none-such"], Exit.USAGE, "ip tuntap add dev none-such mode tap"),
        (["--wire", "a.0=b.0"], Exit.USAGE, "emulate has one card, without a name"),
        (["--pcap", "port0.pcapng"], Exit.USAGE, "type 0=port0.pcapng"),
        (["--pcap", "7=port7.pcapng"], Exit.USAGE, "no port 7"),
    ],
)
def test_a_wire_or_a_capture_that_cannot_be_ends_the_command(
    vmcoredd: Run, path: Path, options: list[str], code: int, why: str
) -> None:
    refused = vmcoredd("emulate", *CARD, "--socket", path, *options)
    assert refused.code == code
    assert why in refused.err
    assert not path.exists()


def test_a_wire_to_the_cards_own_socket_is_refused(vmcoredd: Run, path: Path) -> None:
    refused = vmcoredd("emulate", *CARD, "--socket", path, "--wire", f"0=stream:{path}")
    assert refused.code == Exit.USAGE
    assert "--socket serves the card there" in refused.err
    assert "--help` shows the usage" in refused.err


def test_a_capture_replaces_no_file_unasked(vmcoredd: Run, path: Path) -> None:
    capture = path.parent / "port0.pcapng"
    capture.write_text("mine")
    refused = vmcoredd("emulate", *CARD, "--socket", path, "--pcap", f"0={capture}")
    assert refused.code == Exit.FAILED
    assert refused.err.startswith(f"vmcoredd: {capture}: File exists")
    assert "use --force to replace it" in refused.err
    with emulated(*CARD, "--socket", path, "--pcap", f"0={capture}", "--force") as process:
        ready(process)
        assert capture.read_bytes()[:4] != b"mine"
        assert ended(process, signal.SIGTERM).code == Exit.OK
