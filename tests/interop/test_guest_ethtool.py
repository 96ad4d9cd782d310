"""Real `ethtool -w` files: the kernel's driver dumps adapters that run, with their interfaces up.

One guest has a T6 and a T5. `make test` takes the T6's memories (flag 1), `make test-long` all
(flag 3) of both, registers included, which takes minutes without KVM. The flash (flag 4)
is not taken: the driver reads it word by word, and past its end, which makes the entity bad.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cliruns import Result, spawned
from private_values import everything, private_values, written

from vmcoredd import cudbg, emu
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.diagnosis import diagnose
from vmcoredd.qemu.guest import Guest
from vmcoredd.qemu.prepare import Options, Prepared, serve_cards

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
pytestmark = [pytest.mark.guest, pytest.mark.interop]

BOOT, DRIVER, UP, DUMP = 180.0, 300.0, 120.0, 1800.0
CARDS = {"T6": "t62100-cr", "T5": "t520-cr"}
INTERFACES = {"T6": "eth0", "T5": "eth2"}
MEMORIES, EVERYTHING = 1, 3
"""Flags of `ethtool -W` (enum CXGB4_ETH_DUMP_FLAGS)."""
ALL = [("T6", EVERYTHING), ("T5", EVERYTHING)]
TAKEN = [("T6", MEMORIES), *(ALL if THOROUGH else [])]
ABSENT = {"T6": {"MC1", "HMA"}, "T5": {"MC1", "HMA", "MA_INDIRECT", "HMA_INDIRECT"}}
IN_MEMORIES = {"EDC0", "EDC1", "MC0", "MC1", "HMA"}
INDIRECT_BYTES = 288
"""SGE_INDIRECT of an adapter with an interface up: without the base addresses of queues."""
thorough = pytest.mark.skipif(not THOROUGH, reason="takes minutes: VMCOREDD_THOROUGH=1")


@dataclass
class Running:
    """What the guest said while its adapters ran, and the files of `ethtool -w`."""

    drivers: str
    links: str
    files: dict[tuple[str, int], Path] = field(default_factory=dict)


@pytest.fixture(scope="module")
def running(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Running:
    folder = tmp_path_factory.mktemp("ethtool")
    (folder / "guest").mkdir()
    cards = [emu.Card.load(name, map_window=True) for name in CARDS.values()]
    options = Options(memory="2G", crashkernel="")  # an interface that is up has 300 MB of buffers
    with (
        serve_cards(cards, folder) as adapters,
        prepared.guest(options, folder / "guest", folder / "console", adapters) as guest,
    ):
        guest.wait_for_kernel("first", BOOT)
        guest.run("load-driver --plain", DRIVER)
        names = " ".join(INTERFACES.values())
        drivers = guest.run("for i in eth0 eth1 eth2 eth3; do ethtool -i $i; done", UP).output
        guest.run(f"for i in {names}; do ip link set $i up; done", UP)
        links = guest.run("dmesg | grep 'link up'", UP).output
        result = Running(drivers, links)
        for chip, flag in TAKEN:
            result.files[chip, flag] = taken(guest, chip, flag, folder)
    return result


def taken(guest: Guest, chip: str, flag: int, folder: Path) -> Path:
    """The file that `ethtool -w` writes in the guest."""
    name, file = INTERFACES[chip], f"{chip}.{flag}"
    said = guest.run(f"ethtool -W {name} {flag} && ethtool -w {name} data /share/{file}", DUMP)
    assert f"flag: {flag}, " in guest.run(f"ethtool -w {name}", UP).output, said
    return Path(shutil.move(guest.share / file, folder / file))


def _named(what: tuple[str, int]) -> str:
    return f"{what[0]}-flag-{what[1]}"


@pytest.fixture(params=TAKEN, ids=_named)
def dumped(request: pytest.FixtureRequest, running: Running) -> tuple[str, int, Path]:
    chip, flag = request.param
    return chip, flag, running.files[chip, flag]


@pytest.fixture(params=ALL, ids=_named)
def complete(request: pytest.FixtureRequest, running: Running) -> Path:
    return running.files[request.param]


def run(*arguments: object) -> Result:
    done = spawned(*arguments, timeout=UP)
    assert "Traceback" not in done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def test_the_first_kernels_driver_registers_and_brings_up_its_interfaces(running: Running) -> None:
    assert running.drivers.count("driver: cxgb4") == 4
    assert running.drivers.count("firmware-version: 1.") == 4
    assert "eth0: link up, 100Gbps, full-duplex" in running.links
    assert "eth2: link up, 10Gbps, full-duplex" in running.links


def test_the_file_has_the_entities_of_its_flag(dumped: tuple[str, int, Path]) -> None:
    chip, flag, path = dumped
    dump = cudbg.Dump(path.read_bytes())
    names = {entity.name for entity in dump.entities}
    assert names & IN_MEMORIES == IN_MEMORIES
    assert (names == IN_MEMORIES) == (flag == MEMORIES)
    bad = {entity.name for entity in dump.entities if not entity.good}
    assert bad == ABSENT[chip] & names
    for name in names - bad:
        dump.decode(name).json()


def test_a_healthy_adapter_that_runs_raises_no_alarm(dumped: tuple[str, int, Path]) -> None:
    _, _, path = dumped
    assert diagnose(cudbg.Dump(path.read_bytes())).alarming == ()


def test_every_command_takes_the_file(dumped: tuple[str, int, Path], tmp_path: Path) -> None:
    chip, flag, path = dumped
    judged = Exit.INCOMPLETE if flag == MEMORIES else Exit.OK  # memories alone tell of no register
    assert f"{chip} rev" in run("notes", path).out
    for words, code in ((["show"], Exit.OK), (["diagnose"], judged), (["diff", path], Exit.OK)):
        assert run(words[0], path, *words[1:]).code == code, words
    assert run("extract", path, "--index", 0, "-o", tmp_path / "raw").code == Exit.OK
    assert (tmp_path / "raw").read_bytes() == path.read_bytes()
    for words in (["slim"], ["slim", "--redact"], ["report", "--redact"]):
        output = tmp_path / "-".join(words)
        done = run(words[0], path, *words[1:], "-o", output)
        assert done.code == (judged if words[0] == "report" else Exit.OK), done.err
        assert output.exists()


@thorough
def test_an_adapter_that_runs_has_the_state_of_its_driver(complete: Path) -> None:
    dump = cudbg.Dump(complete.read_bytes())
    assert len(dump.raw("SGE_INDIRECT")) == INDIRECT_BYTES
    log, *_ = dump.decode("MBOX_LOG").json()
    assert {"IQ", "VI", "PORT", "RSS_IND_TBL"} <= {row["command"] for row in log["rows"]}
    tables = {part.get("table"): part for part in dump.decode("QDESC").json()}
    kinds = {row["type"] for row in tables["queues"]["rows"]}
    assert {"NIC tx", "NIC rx", "NIC free list", "control", "firmware events"} <= kinds


@thorough
def test_a_redacted_copy_of_an_adapter_that_runs_has_no_private_value(
    complete: Path, tmp_path: Path
) -> None:
    before, values = everything(complete), set(private_values(complete))
    assert len(values) > 4
    for command in ("slim", "report"):
        output = tmp_path / command
        assert run(command, complete, "--redact", "-o", output).code == Exit.OK
        after = everything(output)
        for value in values:
            assert any(way in before for way in written(value))
            assert [way for way in written(value) if way in after] == [], value.hex()
