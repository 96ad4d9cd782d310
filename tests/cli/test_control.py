"""`vmcoredd control`: a card that another process serves, seen and changed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cliruns import PATIENCE, Run, command, emulated, ended, one_line, ready

from vmcoredd.cli.exit_codes import Exit

CRASH = "crash: the firmware has stopped"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, small_card: Path) -> Iterator[Path]:
    """The socket of a card that the tests may change, if they change it back."""
    path = tmp_path_factory.mktemp("served") / "t6.sock"
    with emulated("--card", small_card, "--socket", path) as process:
        assert ready(process)["control"] == str(path.with_suffix(".ctl"))
        yield path


def test_without_a_command_it_shows_the_state(vmcoredd: Run, shared: Path) -> None:
    shown = vmcoredd("control", shared)
    assert shown.code == Exit.OK
    lines = shown.out.splitlines()
    assert lines[0] == f"small (T6), seed 0, scene crashed, on {shared}"
    assert lines[1:3] == ["client: none", "faults: none"]
    assert re.search(r"(?m)^ *0 +up +100 +idle ", shown.out)
    assert vmcoredd("control", shared, "state").out == shown.out


def test_the_state_is_the_same_for_programs(vmcoredd: Run, shared: Path) -> None:
    for words in (["--json"], ["state", "--json"]):
        record = vmcoredd("control", shared, *words).json
        assert record["command"] == "control state"
        assert record["firmware"]["mode"] == "alive"


def test_the_control_sockets_own_path_will_do(vmcoredd: Run, shared: Path) -> None:
    assert vmcoredd("control", shared.with_suffix(".ctl"), "fault", "list").code == Exit.OK


def test_faults_links_and_snapshots(vmcoredd: Run, shared: Path) -> None:
    def control(*words: object) -> Any:
        return vmcoredd("control", shared, *words)

    assert [one["name"] for one in control("snapshot", "a", "--json").json["snapshots"]] == ["a"]
    assert re.search(r"(?m)^ *a +\d+\.\d MiB *$", control("snapshot").out)
    assert control("fault", "on", "firmware-slow", "--json").json["faults"] == ["firmware-slow"]
    assert control("fault", "list").out == "firmware-slow\n"
    assert control("fault", "list", "--json").json["faults"] == ["firmware-slow"]
    waits = "le-busy@read:PL_WHOAMI:3"
    assert control("fault", "on", waits).out == f"firmware-slow\n{waits}: waits\n"
    assert f"faults: firmware-slow, {waits} (waits)\n" in control().out
    assert control("fault", "off", waits, "--json").json["waiting_faults"] == []
    assert control("fault", "off", "firmware-slow").out == "no fault is on\n"
    assert control("link", "down", 0).out == "port 0: down, cable pulled\nport 1: up\n"
    assert control("link", "up", 0, "--json").json["ports"][0]["up"] is True
    assert control("reset", "--json").code == Exit.OK
    assert control("restore", "a").out == "restored a; faults: none\n"
    assert control("restore", "a", "--json").json["faults"] == []
    assert control("fault", "list").out == "no fault is on\n"
    assert control("snapshot", "a", "--forget").out == "no snapshot is kept\n"


def test_the_log_is_text(vmcoredd: Run, shared: Path) -> None:
    lines = vmcoredd("control", shared, "log").out.splitlines()
    assert re.fullmatch(r"firmware +1\.\d{6} INFO +CORE +firmware 0x\w{8} starting", lines[0])
    record = vmcoredd("control", shared, "log", "--json").json
    assert len(record["firmware"]) == len(lines)


@pytest.mark.parametrize("json_wanted", [False, True], ids=["text", "json"])
def test_the_log_is_followed_until_it_is_interrupted(
    vmcoredd: Run, shared: Path, json_wanted: bool
) -> None:
    words = command("control", shared, "log", "--follow", *["--json"] * json_wanted)
    vmcoredd("control", shared, "snapshot", "before")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        deadline = threading.Timer(PATIENCE, process.kill)
        deadline.start()
        assert "starting" in process.stdout.readline()
        switched = vmcoredd("control", shared, "fault", "on", "firmware-crash")
        line = next((line for line in process.stdout if CRASH in line), "")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == Exit.INTERRUPTED, switched
        deadline.cancel()
    assert not json_wanted or json.loads(line)["command"] == "control log"
    vmcoredd("control", shared, "restore", "before")
    vmcoredd("control", shared, "snapshot", "before", "--forget")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["fault", "on", "firmware-crush"], Exit.USAGE, "FAULT: no fault is called firmware-crush"),
        (
            ["fault", "on", "le-busy@5"],
            Exit.USAGE,
            "FAULT: le-busy@5: not a fault; type FAULT or FAULT=ARG",
        ),
        (["fault", "off", "le-busy"], Exit.FAILED, "le-busy is not on"),
        (["link", "sideways", "0"], Exit.USAGE, "no change is called sideways"),
        (["link", "down", "7"], Exit.FAILED, "no port 7: a small has 2 ports"),
        (["restore", "b"], Exit.FAILED, "no snapshot 'b'; none is kept"),
        (["snapshot", "--forget"], Exit.USAGE, "--forget: name the snapshot to forget"),
        (["stat"], Exit.USAGE, "No such command 'stat'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_in_one_line(
    vmcoredd: Run, shared: Path, words: list[str], code: Exit, error: str
) -> None:
    result = vmcoredd("control", shared, *words)
    assert result.code == code
    assert error in one_line(result)


def test_stop_ends_the_server_which_removes_its_sockets(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    path = tmp_path / "t6.sock"
    with emulated("--card", small_card, "--socket", path, "--control", tmp_path / "c") as process:
        assert ready(process)["control"] == str(tmp_path / "c")
        assert vmcoredd("control", tmp_path / "c", "stop", "--json").code == Exit.OK
        assert process.wait(PATIENCE) == Exit.OK
    assert [*tmp_path.iterdir()] == []
    result = vmcoredd("control", path)
    assert result.code == Exit.NO_DEVICE
    assert one_line(result) == f"vmcoredd: {path}: No such file or directory"


def test_without_a_control_socket_it_says_what_may_be_wrong(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    path = tmp_path / "t6.sock"
    with emulated("--card", small_card, "--socket", path, "--no-control") as process:
        assert ready(process)["control"] is None
        result = vmcoredd("control", path)
        assert result.code == Exit.NO_DEVICE
        assert f"no control socket beside {path}: was it served with --no-control" in result.err
        assert ended(process, signal.SIGTERM).code == Exit.OK


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--control", "c", "--no-control"], "--control: give a path or --no-control, not both"),
        (["--control", "t6.sock"], "--control: --socket has this path"),
        (["--wire", "0=stream:t6.ctl"], "--wire: 0=stream:t6.ctl: --control serves the card there"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_paths_that_disagree_are_wrong_usage(
    vmcoredd: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    error: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = vmcoredd("emulate", "--card", "t62100-cr", "--socket", "t6.sock", *words)
    assert result.code == Exit.USAGE
    assert error in one_line(result)


def test_a_live_control_socket_is_an_error_before_anything_is_served(
    vmcoredd: Run, shared: Path, tmp_path: Path
) -> None:
    at, control = tmp_path / "two.sock", shared.with_suffix(".ctl")
    result = vmcoredd("emulate", "--card", "t520-cr", "--socket", at, "--control", control)
    assert (result.code, result.out) == (Exit.FAILED, "")
    assert f"{control}: another server listens there" in result.err
    assert not at.exists()
