"""Cards raised from dumps, in guests: a crash kernel dumps one, a stock kernel's driver attaches to
another. `make test-long` has these."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cliruns import emulated, ready, spawned
from stock import KERNEL

from vmcoredd import cudbg, vmcore
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cudbg.words import find
from vmcoredd.qemu import kdump
from vmcoredd.qemu.errors import CommandFailed
from vmcoredd.qemu.guest import Adapter
from vmcoredd.qemu.prepare import Options, Prepared, prepare
from vmcoredd.qemu.root import find_root

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="takes minutes: VMCOREDD_THOROUGH=1, make test-long",
    ),
]
BOOT, DRIVER, DUMP, COMMAND = 600.0, 900.0, 1800.0, 300.0
FAULTS = ("ecc-uncorrectable-edc0", "no-edc1", "cim-host-hangs", "firmware-crash")
DEBUGFS = "/sys/kernel/debug/cxgb4/*"
Progress = Callable[..., None]


@pytest.fixture(scope="module", params=["t62100-cr"])
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vmcore of a card with faults, made by our driver."""
    path = tmp_path_factory.mktemp("broken") / "vmcore"
    words = [word for fault in FAULTS for word in ("--fault", fault)]
    assert spawned("dump", "--card", request.param, *words, "-o", path).returncode == (
        Exit.INCOMPLETE
    )
    return path


@contextmanager
def raised(path: Path, folder: Path, *options: str) -> Iterator[Adapter]:
    """Serves the card raised from a dump, by another process."""
    socket, log = folder / "raised.sock", folder / "emulate.log"
    words = ("--from", path, "--map-window", *options, "--socket", socket)
    with log.open("w") as errors, emulated(*words, stderr=errors) as process:
        assert ready(process)
        yield Adapter(socket, process.pid, log)


def dump_in(path: Path) -> cudbg.Dump:
    with vmcore.Reader(path) as reader:
        return cudbg.Dump(bytes(reader.payload(reader.device_dumps[0].index)))


def test_a_crash_kernel_finds_in_a_raised_card_what_its_dump_says(
    broken: Path, prepared: Prepared, tmp_path: Path, progress: Progress
) -> None:
    found = tmp_path / "vmcore"
    with raised(broken, tmp_path) as adapter:
        kdump.run([adapter], found, prepared=prepared, progress=progress)
    done = spawned("diff", "--card-only", broken, found, "--json")
    compared = json.loads(done.stdout)
    assert compared["different"] == []
    assert done.returncode == Exit.OK


def test_a_stock_kernels_driver_attaches_to_a_raised_card_that_is_alive(
    broken: Path, tmp_path: Path, progress: Progress
) -> None:
    options = Options(kernel=KERNEL, memory="2G", crashkernel="", root=find_root(progress=progress))
    ready_made = prepare(KERNEL, progress)
    (tmp_path / "guest").mkdir()
    with (
        raised(broken, tmp_path, "--alive") as adapter,
        ready_made.guest(options, tmp_path / "guest", tmp_path / "console", [adapter]) as guest,
    ):
        guest.wait_for_kernel("first", BOOT)
        guest.run("load-driver --plain", DRIVER)
        guest.run("ip link set eth0 up", COMMAND)
        shown = {
            name: guest.run(f"cat {DEBUGFS}/{name}", COMMAND).output
            for name in ("devlog", "tp_la", "meminfo", "pm_stats")
        }
        with pytest.raises(CommandFailed, match="Resource temporarily unavailable"):
            guest.run(f"cat {DEBUGFS}/cim_qcfg", COMMAND)  # as in the dump: cim-host-hangs
        guest.run("ethtool -W eth0 2 && ethtool -w eth0 data /share/dump", DUMP)
        taken = cudbg.Dump((guest.share / "dump").read_bytes())
    first = dump_in(broken)
    messages = [row["message"] for row in first.decode("DEV_LOG").json()[0]["rows"]]
    assert any(message.strip() and message.strip() in shown["devlog"] for message in messages)
    assert all(shown.values())
    for name in ("EDC_H_INT_CAUSE", "EDC_H_ECC_ERR_ADDR"):
        assert [w.value for w in find(taken, name)] == [w.value for w in find(first, name)]
