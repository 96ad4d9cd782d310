"""`vmcoredd top`: what a served card is busy with."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cliruns import PATIENCE, Run, command, emulated, one_line, ready
from pyvfio_user.protocol import CONFIG_REGION

from pyvfio_user import Client
from tests.support.schema import problems
from vmcoredd.chip import T6
from vmcoredd.chip.pci import Bar
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.rates import rates
from vmcoredd.cli.top_view import lines


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, small_card: Path) -> Iterator[Path]:
    """The socket of a card whose client reads again and again."""
    path = tmp_path_factory.mktemp("served") / "t6.sock"
    ending = threading.Event()
    places = (CONFIG_REGION, 0), (Bar.REGISTERS, int(T6.r.PL_REV)), (Bar.REGISTERS, int(T6.r.SF_OP))

    def work(client: Client) -> None:
        while not ending.is_set():
            for region, offset in places:
                client.region_read(region, offset, 4)

    with emulated("--card", small_card, "--socket", path) as process:
        ready(process)
        with Client(path) as client:
            thread = threading.Thread(target=work, args=[client])
            thread.start()
            yield path
            ending.set()
            thread.join()


def test_once_shows_one_look_in_80_columns(vmcoredd: Run, busy: Path) -> None:
    shown = vmcoredd("top", busy, "--once", "--interval", 0.3)
    assert (shown.code, shown.err) == (Exit.OK, "")
    first, second, _, head, *rest = shown.out.splitlines()
    assert first.startswith("small, process ")
    assert " messages/s, DMA read 0/s written 0/s" in second
    assert head.split() == ["block", "words", "read/s", "written/s"]
    assert {"config", "PL", "SF"} <= {line.split()[0] for line in rest if line}
    assert max(map(len, shown.out.splitlines())) <= 80


def test_json_is_an_object_on_a_line_for_each_look(vmcoredd: Run, busy: Path) -> None:
    looks = vmcoredd("top", busy, "--json", "--interval", 0.2, "--seconds", 0.5).out.splitlines()
    assert len(looks) in (2, 3)
    for line in looks:
        look = json.loads(line)
        assert problems(look) == []
        speeds = [
            block["words_read_per_second"] + block["words_written_per_second"]
            for block in look["blocks"]
        ]
        assert speeds == sorted(speeds, reverse=True)
        assert speeds[-1] > 0


def test_a_pipe_gets_a_text_for_each_look_until_it_is_interrupted(busy: Path) -> None:
    words = command("top", busy, "--interval", 0.1)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
        assert one.stdout
        assert one.stderr
        deadline = threading.Timer(PATIENCE, one.kill)
        deadline.start()
        looks = 0
        while looks < 2:
            line = one.stdout.readline()
            assert line
            assert "\x1b" not in line
            looks += line.startswith("small, ")
        one.send_signal(signal.SIGINT)
        assert one.wait(PATIENCE) == Exit.INTERRUPTED
        assert one.stderr.read() == "interrupted\n"
        deadline.cancel()


def test_a_server_that_ends_is_an_error_of_one_line(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    path = tmp_path / "t6.sock"
    with emulated("--card", small_card, "--socket", path) as process:
        ready(process)
        ending = threading.Timer(0.5, process.terminate)
        ending.start()
        result = vmcoredd("top", path, "--interval", 0.1)
    assert result.code == Exit.NO_DEVICE
    assert one_line(result) == f"vmcoredd: {path.with_suffix('.ctl')}: the other end is gone"


# Rates


def state(**changed: Any) -> dict[str, Any]:
    """What `state` tells, as far as rates need it."""
    traffic = {"frames": 0, "data_bytes": 0, "drops": 0}
    port = {"port": 0, "up": True, "pulled": False, "wire": "idle", "peer": None}
    counts = dict.fromkeys(("messages", "dma_reads", "dma_writes", "interrupts", "troubles"), 0)
    none: dict[str, Any] = {name: [] for name in ("faults", "blocks", "commands", "queues")}
    return {
        "card": "t6",
        "socket": "t6.sock",
        "client": None,
        "firmware": {"mode": "alive"},
        **counts,
        **none,
        "ports": [{**port, "sent": traffic, "received": traffic}],
        **changed,
    }


def block(name: str, read: int, written: int) -> dict[str, Any]:
    return {"block": name, "words_read": read, "words_written": written}


def queue(kind: str, number: int, produced: int) -> dict[str, Any]:
    where = {"kind": kind, "queue": number, "pf": 4, "port": 0, "halted": False}
    return {**where, "produced": produced}


def test_what_moved_comes_first_and_the_rest_is_counted() -> None:
    before = state(blocks=[block("PL", 10, 0), block("MA", 5, 5), block("SGE", 0, 1)])
    now = state(blocks=[block("PL", 14, 0), block("MA", 5, 5), block("SGE", 0, 9)])
    found = rates(before, now, 2.0)
    assert [one["block"] for one in found["blocks"]] == ["SGE", "PL"]
    assert found["blocks"][0]["words_written_per_second"] == 4.0
    assert found["idle_blocks"] == 1


def test_what_is_new_counts_from_nothing_and_what_went_back_did_not_move() -> None:
    before = state(queues=[queue("ethernet", 7, 1000)], messages=50)
    now = state(
        queues=[queue("ethernet", 7, 10), queue("ingress", 7, 30)],
        commands=[{"command": "VI", "count": 3}],
        messages=20,
    )
    found = rates(before, now, 1.0)
    assert [(one["kind"], one["produced_per_second"]) for one in found["queues"]] == [
        ("ingress", 30.0)
    ]
    assert found["commands"] == [{"command": "VI", "count": 3, "per_second": 3.0}]
    assert (found["messages_per_second"], found["idle_queues"]) == (0.0, 1)


@pytest.mark.parametrize("height", [24, 40])
def test_a_terminal_is_never_too_low(height: int) -> None:
    blocks = [block(f"B{number}", 1000 - number, 0) for number in range(60)]
    queues = [queue("ethernet", number, 5) for number in range(60)]
    commands = [{"command": f"C{number}", "count": 5} for number in range(20)]
    look = rates(state(), state(blocks=blocks, queues=queues, commands=commands), 1.0)
    shown = lines(look, 80, height)
    assert len(shown) <= height
    assert "B0" in shown[4]
    assert any(line.startswith("ethernet 0") for line in shown)
    assert len([line for line in shown if line.endswith(" more")]) == 3


def test_a_narrow_terminal_gets_the_beginning_of_each_line() -> None:
    assert max(map(len, lines(rates(state(), state(), 1.0), 30))) == 30
