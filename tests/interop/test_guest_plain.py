"""Guests without an adapter: they boot, run commands and crash; the host gets /proc/vmcore."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import readers
from elftools.elf.elffile import ELFFile
from readable import readable

from vmcoredd import vmcore
from vmcoredd.qemu import kdump, live, session
from vmcoredd.qemu.errors import GuestDied, GuestTimeout, RunError
from vmcoredd.qemu.guest import Adapter, Guest
from vmcoredd.qemu.prepare import Options
from vmcoredd.qemu.program import OnPanic

pytestmark = [pytest.mark.guest, pytest.mark.interop]

BOOT = 120.0
NO_CRASH_KERNEL = Options(crashkernel="")
thorough = pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1", reason="VMCOREDD_THOROUGH=1, make test-long"
)


@contextlib.contextmanager
def booted(prepared, folder: Path, options: Options = NO_CRASH_KERNEL, adapters=()):
    """A guest whose first kernel accepts commands. Its QEMU is gone afterwards."""
    with prepared.guest(options, folder, folder / "console", adapters) as guest:
        guest.wait_for_kernel("first", BOOT)
        yield guest
    assert not alive(guest.pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def running(prepared, tmp_path_factory) -> Iterator[Guest]:
    """A guest that the tests before its panic leave as it was."""
    options = dataclasses.replace(NO_CRASH_KERNEL, on_panic=OnPanic.PAUSE)
    with booted(prepared, tmp_path_factory.mktemp("running"), options) as guest:
        yield guest


@pytest.fixture(scope="module")
def crashed(prepared, tmp_path_factory, progress) -> kdump.Report:
    """A complete run."""
    output = tmp_path_factory.mktemp("plain") / "vmcore"
    return kdump.run([], output, prepared=prepared, progress=progress)


# Scripts


def test_a_scripts_output_and_exit_code_are_returned(prepared, tmp_path):
    path = tmp_path / "probe.sh"
    path.write_text("#!/bin/sh\nuname -r\necho wrong >&2\nexit 7\n")
    printed: list[str] = []
    result = session.run_script(
        [], path, prepared=prepared, console=tmp_path / "console", on_output=printed.append
    )
    assert (result.code, result.output) == (7, f"{prepared.kernel.release}\nwrong\n")
    assert "".join(printed) == result.output
    assert "Linux version" in (tmp_path / "console").read_text()


def test_a_guest_has_the_programs_users_need(running):
    for command in ("ethtool --version", "kexec --version", "lspci", "devmem 0 32"):
        running.run(command, 30)


def test_commands_run_though_the_line_to_the_guest_loses_characters(running):
    thief = "dd if=/dev/ttyS1 of=/share/stolen bs=1 count=3"
    running.run(f"{thief} >/share/thief 2>&1 &", 30)
    for number in range(4):
        assert running.run(f"echo {number}", 60).output == f"{number}\n"
    assert (running.share / "stolen").stat().st_size == 3


@contextlib.contextmanager
def shell(console: Path, *arguments: str):
    """A guest's shell in its own process, once it has printed its prompt."""
    program = f"""
import pathlib
from vmcoredd.qemu.session import run_shell
run_shell([], console=pathlib.Path({str(console)!r}), {", ".join(arguments)})
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        deadline = threading.Timer(BOOT, process.kill)
        deadline.start()
        seen = b""
        while not seen.endswith(b"# ") and (more := process.stdout.read(1)):
            seen += more
        yield process
        deadline.cancel()


def test_a_shell_uses_the_callers_input_and_output_and_brings_home_what_it_saves(
    prepared, tmp_path
):
    with shell(tmp_path / "console") as process:
        typed = b"echo $((6 * 7))1\necho kept >/share/saved\nexit\n"
        output, _ = process.communicate(typed, BOOT)
    assert process.returncode == 0
    assert b"421" in output
    assert "421" in (tmp_path / "console").read_text()
    assert (tmp_path / "guest.share" / "saved").read_text() == "kept\n"
    assert {path.name for path in tmp_path.iterdir()} == {"console", "guest.share"}
    assert [path.name for path in (tmp_path / "guest.share").iterdir()] == ["saved"]


def test_control_a_x_ends_a_shell_which_leaves_nothing_of_ours_in_a_given_folder(
    prepared, tmp_path
):
    share = tmp_path / "mine"
    share.mkdir()
    (share / "given").write_text("from the host\n")
    with shell(tmp_path / "console", f"share=pathlib.Path({str(share)!r})") as process:
        process.stdin.write(b"cp /share/given /share/part; mv /share/part /share/copy\n")
        process.stdin.flush()
        end = time.monotonic() + BOOT
        while not (share / "copy").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        process.communicate(b"sleep 1000\n\x01x", BOOT)
    assert process.returncode == 0
    assert (share / "copy").read_text() == "from the host\n"
    assert sorted(path.name for path in share.iterdir()) == ["copy", "given"]


def test_a_guest_does_not_outlive_a_killed_host(prepared, tmp_path):
    with shell(tmp_path / "console") as process:
        (qemu,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        with open(os.pidfd_open(int(qemu))) as ended:
            process.kill()
            assert readable([ended], 30.0)


def test_a_command_that_hangs_ends_at_its_deadline_and_the_next_begins_after_it(running):
    hangs = "until [ -e /share/go ]; do usleep 50000; done; echo late"
    with pytest.raises(GuestTimeout, match="`until"):
        running.run(hangs, 1.0)
    (running.share / "go").touch()
    assert running.run("echo next", 60).output == "next\n"


# A crash


def test_a_run_reaches_its_stages_in_order(crashed):
    others = {kdump.Stage.PROBED, kdump.Stage.FLOWING}  # of a run with the driver, and with traffic
    assert list(crashed.seconds) == [stage for stage in kdump.Stage if stage not in others]


def test_readelf_reads_a_core_of_two_processors_with_vmcoreinfo(crashed):
    notes = [line.split() for line in readers.readelf(crashed.vmcore, "-n") if "0x" in line]
    assert [note[0] for note in notes[1:]] == ["CORE", "CORE", "VMCOREINFO"]


def test_pyelftools_reads_the_guests_vmcore_too(crashed):
    with crashed.vmcore.open("rb") as file:
        kinds = [segment["p_type"] for segment in ELFFile(file).iter_segments()]
    assert kinds[0] == "PT_NOTE"
    assert set(kinds[1:]) == {"PT_LOAD"}


def test_crash_finds_the_panic_and_its_process(crashed, prepared):
    output = readers.crash(prepared.kernel.vmlinux, crashed.vmcore, "sys", "bt", "ps", "dev -V")
    assert "sysrq triggered crash" in output
    assert 'COMMAND: "panic"' in output
    processes = [line for line in output.splitlines() if line.endswith((" init", " panic"))]
    assert [line.split()[0] for line in processes if line.endswith(" init")] == ["1"]
    assert any(line.startswith(">") for line in processes if line.endswith(" panic"))
    assert "no device dumps" in output


@pytest.mark.parametrize("form", ["-E", "-c"])
def test_makedumpfile_filters_the_guests_vmcore(crashed, tmp_path, form):
    output = tmp_path / "filtered"
    readers.makedumpfile(crashed.vmcore, output, form, "-d", "31")
    with vmcore.Reader(output) as reader:
        assert [note.owner for note in reader.notes] == ["CORE", "CORE", "VMCOREINFO"]


def test_the_core_is_sparse(crashed):
    status = crashed.vmcore.stat()
    assert status.st_size > 512 << 20
    assert status.st_blocks * 512 < status.st_size / 2


# A memory dump from outside


@pytest.mark.parametrize("panicked", [pytest.param(False, marks=thorough), True])
def test_crash_reads_the_core_that_qemu_wrote_and_we_corrected(
    prepared, running, tmp_path, panicked
):
    if panicked:  # the last use of the guest
        running.panic()
        time.sleep(2)  # the event may come long before it is asked for
        assert running.monitor.event("GUEST_PANICKED", 60)
    live.dump_memory(running.monitor, tmp_path / "base")
    dumps = vmcore.DeviceDumps(vmcore.ElfCore.open(tmp_path / "base"))
    dumps.add_device_dump("probe_0000:00:02.0", 4096, lambda payload: None)
    vmcore.write(tmp_path / "vmcore", dumps)
    output = readers.crash(
        prepared.kernel.vmlinux,
        tmp_path / "vmcore",
        "sys",
        "dev -V",
        options=[] if panicked else ["--no_panic"],
    )
    assert "probe_0000:00:02.0" in output
    assert ("sysrq triggered crash" in output) == panicked
    readers.makedumpfile(tmp_path / "vmcore", tmp_path / "filtered", "-E", "-d", "31")


# Failures


def test_an_early_panic_is_reported_with_the_kernels_reason(prepared, tmp_path):
    options = Options(kernel_arguments="rdinit=/none")
    with pytest.raises(GuestDied, match="panicked: No working init found"):
        kdump.run([], tmp_path / "vmcore", options=options, prepared=prepared)
    assert not (tmp_path / "vmcore").exists()
    assert (tmp_path / "vmcore.console").exists()


@pytest.mark.parametrize("crashkernel", ["16M", pytest.param("24M", marks=thorough)])
def test_too_little_memory_for_the_crash_kernel_is_reported(prepared, tmp_path, crashkernel):
    options = Options(crashkernel=crashkernel)
    deadlines = kdump.Deadlines(boot=60.0)
    with pytest.raises(RunError, match=f"crashkernel={crashkernel}, which may be too small"):
        kdump.run([], tmp_path / "vmcore", options=options, deadlines=deadlines, prepared=prepared)


def test_a_crash_kernels_memory_that_does_not_fit_is_reported(prepared, tmp_path):
    with pytest.raises(RunError, match=r"crashkernel=2G does not fit in the guest's memory of 1G"):
        kdump.run([], tmp_path / "vmcore", options=Options(crashkernel="2G"), prepared=prepared)


def test_an_adapter_that_nobody_serves_is_reported_with_qemus_error(prepared, tmp_path):
    with (
        pytest.raises(GuestDied, match="No such file or directory"),
        booted(prepared, tmp_path, adapters=[Adapter(tmp_path / "none.sock")]),
    ):
        pytest.fail("the guest started")


def test_a_crash_during_a_command_is_reported(prepared, tmp_path):
    with booted(prepared, tmp_path) as guest, pytest.raises(GuestDied, match="sysrq triggered"):
        guest.run("panic", 60.0)
