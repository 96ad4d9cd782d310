"""The unmodified Linux driver in a guest's crash kernel, on our cards: the reference for our dumps.

One guest with a T6 and a T5, and with a card that the driver refuses, crashes once; most tests
examine the resulting vmcore.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import readers
from cliruns import emulated, spawned
from crashes import assert_same
from elftools.elf.elffile import ELFFile
from findings import stands
from raiseddump import again

from vmcoredd import cudbg, driver, emu, vmcore
from vmcoredd.diagnosis import diagnose
from vmcoredd.emu.recording import recording
from vmcoredd.qemu import kdump, live
from vmcoredd.qemu.errors import PeerDied, RunError
from vmcoredd.qemu.guest import Adapter
from vmcoredd.qemu.prepare import Options, serve_cards
from vmcoredd.qemu.verdict import dump_name
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.events import Decoder
from vmcoredd.trace.records import count

pytestmark = [pytest.mark.guest, pytest.mark.interop]
thorough = pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1", reason="VMCOREDD_THOROUGH=1, make test-long"
)

CARDS = ("t62100-cr", "t520-cr")
NAMES = ["cxgb4_0000:00:02.0", "cxgb4_0000:00:03.0"]
NOTE_SIZE = 0x02000FEC  # n_descsz of a cxgb4 dump (vmcoredd_header and 32 MiB)
BAD_BY_DESIGN = {
    "t62100-cr": {"MC1", "HMA"},
    "t520-cr": {"MC1", "MA_INDIRECT", "HMA_INDIRECT", "HMA"},
}


@dataclass
class Crash:
    """A run, its cards, their state just before the crash kernel dumped them, and their traces."""

    report: kdump.Report
    cards: list[emu.Card]
    before: list[emu.Snapshot]
    release: str
    traces: list[Path]


@pytest.fixture(scope="module")
def crash(prepared, tmp_path_factory, progress) -> Crash:
    folder = tmp_path_factory.mktemp("adapters")
    cards = [emu.Card.load(name, map_window=True) for name in CARDS]
    refused = emu.Card.load("t62100-cr", faults=["device-gone@read:PL_WHOAMI"], map_window=True)
    before: list[emu.Snapshot] = []

    def on_stage(stage: kdump.Stage) -> None:
        if stage is kdump.Stage.CRASHED:
            before.extend(card.snapshot() for card in cards)

    traces = [folder / f"{name}.npz" for name in CARDS]
    with contextlib.ExitStack() as stack:
        for card, path in zip(cards, traces, strict=True):
            stack.enter_context(recording(card, path))
        adapters = stack.enter_context(serve_cards([*cards, refused], folder))
        report = kdump.run(
            adapters, folder / "vmcore", prepared=prepared, on_stage=on_stage, progress=progress
        )
    return Crash(report, cards, before, prepared.kernel.release, traces)


@contextlib.contextmanager
def served_apart(folder: Path, card: str) -> Iterator[tuple[Adapter, subprocess.Popen]]:
    """Serves a card by `vmcoredd emulate` in another process while the context is open."""
    socket, log = folder / "card.sock", folder / "emulate.log"
    arguments = ["--card", card, "--socket", socket]
    with log.open("w") as errors, emulated(*arguments, stderr=errors) as process:
        assert process.stdout.readline(), log.read_text()
        yield Adapter(socket, process.pid, log), process


# The kernel's output


def test_every_adapter_has_its_dump_but_the_refused_one_whose_reason_is_told(crash):
    assert list(crash.report.device_dumps) == NAMES
    assert crash.report.oops is None
    (missing,) = crash.report.missing
    assert missing.name == dump_name(len(NAMES))
    assert "its probe failed with -5 (EIO)" in missing.reason


def test_readelf_shows_the_device_dumps_first(crash):
    lines = [line.split() for line in readers.readelf(crash.report.vmcore, "-n")]
    notes = [line[:2] for line in lines if len(line) > 1 and line[1].startswith("0x")]
    assert notes[:2] == [["LINUX", f"{NOTE_SIZE:#010x}"]] * 2
    assert [owner for owner, _ in notes[2:]] == ["CORE", "CORE", "VMCOREINFO"]


def test_pyelftools_sees_the_type_of_device_dumps(crash):
    with crash.report.vmcore.open("rb") as file:
        note = next(ELFFile(file).iter_segments(type="PT_NOTE"))
        kinds = [item["n_type"] for item in note.iter_notes()]
    assert kinds[:2] == [0x700, 0x700]


def test_crash_lists_and_extracts_device_dumps(crash, prepared, tmp_path):
    output = tmp_path / "dump"
    said = readers.crash(
        prepared.kernel.vmlinux, crash.report.vmcore, "dev -V", f"dev -v 0 {output}"
    )
    assert all(name in said for name in NAMES)
    with vmcore.Reader(crash.report.vmcore) as reader:
        assert output.read_bytes() == bytes(reader.payload(0))


@pytest.mark.parametrize("form", ["-E", "-c"])
def test_makedumpfile_keeps_device_dumps(crash, tmp_path, form):
    output = tmp_path / "filtered"
    readers.makedumpfile(crash.report.vmcore, output, form, "-d", "31")
    with vmcore.Reader(output) as ours, vmcore.Reader(crash.report.vmcore) as kernels:
        assert [note.name for note in ours.device_dumps] == NAMES
        for index in range(len(NAMES)):
            assert ours.payload(index) == kernels.payload(index)


@pytest.mark.parametrize("index", range(len(CARDS)), ids=CARDS)
def test_a_trace_of_the_kernels_dump_counts_what_the_card_counts(crash, index):
    with Reader(crash.traces[index]) as reader:
        records = list(reader.records())
    assert count(records)._asdict() == crash.cards[index].accesses
    assert reader.end["lost"] == 0
    events = list(Decoder(reader.header).events(records))
    assert {event.source for event in events if event.space} == {"client"}
    commands = {event.name for event in events if event.kind == "command"}
    assert {"HELLO", "CAPS_CONFIG", "PFVF", "PARAMS"} <= commands
    written = {event.name for event in events if event.kind == "write"}
    assert {"TP_PIO_ADDR", "SGE_CTXT_CMD"} <= written


@pytest.mark.parametrize(
    "index", [pytest.param(0, id=CARDS[0]), pytest.param(1, id=CARDS[1], marks=thorough)]
)
def test_the_kernels_probe_crash_and_dump_are_replayed_without_the_guest(crash, index):
    again = spawned("replay", crash.traces[index])
    assert again.stdout.splitlines()[-1] == "equal", again.stdout
    assert again.returncode == 0


@pytest.mark.parametrize("index", range(len(CARDS)), ids=CARDS)
def test_every_entity_is_good_except_those_the_card_lacks_and_no_alarm_is_raised(crash, index):
    with vmcore.Reader(crash.report.vmcore) as reader:
        dump = cudbg.Dump(reader.payload(index))
        bad = {entity.name for entity in dump.entities if not entity.good}
        assert bad == BAD_BY_DESIGN[CARDS[index]]
        assert diagnose(dump).alarming == ()


@pytest.mark.parametrize("index", range(len(CARDS)), ids=CARDS)
def test_a_card_raised_from_the_kernels_dump_has_the_same_dump(crash, index):
    with vmcore.Reader(crash.report.vmcore) as reader:
        kernels = cudbg.Dump(bytes(reader.payload(index)))
    raised = cudbg.Dump(memoryview(again(bytes(kernels.data), "zlib")))
    assert_same(kernels, raised, crash.release)


@pytest.mark.parametrize("index", range(len(CARDS)), ids=CARDS)
def test_beside_healthy_cards_the_kernels_dump_shows_nothing(crash, index):
    shown = spawned("diff", "--with-healthy", crash.report.vmcore, "--index", index)
    assert shown.stdout.splitlines()[-1] == "nothing differs in meaning from a healthy card"


# Ours beside it


@pytest.mark.parametrize("index", range(len(CARDS)), ids=CARDS)
def test_our_dump_of_the_same_state_equals_the_kernels(crash, tmp_path, index):
    card = crash.cards[index]
    card.restore(crash.before[index])
    with (
        serve_cards([card], tmp_path) as (served_card,),
        driver.open(served_card.socket) as adapter,
    ):
        size, fill = adapter.device_dump()
        buffer = bytearray(size)
        fill(memoryview(buffer))
    with vmcore.Reader(crash.report.vmcore) as reader:
        assert_same(cudbg.Dump(reader.payload(index)), cudbg.Dump(buffer), crash.release)


@thorough
def test_crash_opens_our_dump_over_the_guests_own_core(crash, prepared, tmp_path):
    """As a base, the guest's vmcore is like one from QEMU or another kernel."""
    base = vmcore.ElfCore.open(crash.report.vmcore)
    dumps = vmcore.DeviceDumps(base)
    with driver.open_card(crash.cards[0]) as adapter:
        dumps.add_device_dump("ours", *adapter.device_dump())
    vmcore.write(tmp_path / "vmcore", dumps)
    said = readers.crash(prepared.kernel.vmlinux, tmp_path / "vmcore", "dev -V")
    assert all(name in said for name in ["ours", *NAMES])


@pytest.mark.parametrize(
    "panic", [pytest.param(False, id="stopped"), pytest.param(True, id="panicked", marks=thorough)]
)
def test_a_base_from_qemu_and_our_dump_from_outside_make_a_vmcore(prepared, tmp_path, panic):
    """QEMU has the card's socket, so our driver dumps it in the emulator, as `guest live` does."""
    card = emu.Card.load("t6225-cr", map_window=True)
    dumps: list[vmcore.DeviceDumps] = []

    def dump_card() -> None:
        dumps.append(vmcore.DeviceDumps(vmcore.ElfCore.open(tmp_path / "base")))
        with driver.open_card(card) as adapter:
            dumps[0].add_device_dump(NAMES[0], *adapter.device_dump())

    with serve_cards([card], tmp_path) as adapters:
        live.run(
            adapters,
            tmp_path / "base",
            panic=panic,
            console=tmp_path / "console",
            while_stopped=dump_card,
            prepared=prepared,
        )
    vmcore.write(tmp_path / "vmcore", dumps[0])
    said = readers.crash(
        prepared.kernel.vmlinux,
        tmp_path / "vmcore",
        "dev -V",
        "dev -p",
        options=[] if panic else ["--no_panic"],
    )
    assert NAMES[0] in said
    assert "1425:6401" in said
    readers.makedumpfile(tmp_path / "vmcore", tmp_path / "filtered", "-E", "-d", "31")
    with vmcore.Reader(tmp_path / "filtered") as reader:
        assert [note.name for note in reader.device_dumps] == [NAMES[0]]


# The driver's oops


def test_without_the_remedy_the_driver_oopses_and_there_is_no_dump(prepared, tmp_path):
    """The core of notes alone keeps the memory's addresses."""
    card = emu.Card.load("t6225-cr", map_window=True)
    with serve_cards([card], tmp_path) as adapters:
        report = kdump.run(
            adapters,
            tmp_path / "vmcore",
            flow=kdump.Flow(remedy=False, notes_only=True),
            prepared=prepared,
        )
    with stands("cxgb4-oops", f"Linux {prepared.kernel.release}"):
        assert report.oops
    assert report.oops.startswith("BUG: kernel NULL pointer dereference, address: 00000000000000")
    (missing,) = report.missing
    assert missing.name == dump_name(0)
    assert report.oops in missing.reason
    assert "cudbg_collect_sge_indirect" in report.console.read_text()
    assert report.driver.code != 0
    assert report.device_dumps == ()
    assert report.vmcore.stat().st_size < 1 << 20
    with report.vmcore.open("rb") as file:
        note, *loads = ELFFile(file).iter_segments()
    assert note["p_filesz"] > 0
    assert all(load["p_filesz"] == 0 and load["p_memsz"] > 0 for load in loads)


def told_with(crashkernel, prepared, folder: Path) -> str:
    """What a run with so much memory for the crash kernel tells, whichever process Linux kills."""
    card = emu.Card.load("t62100-cr", map_window=True)
    with serve_cards([card], folder) as adapters:
        try:
            report = kdump.run(
                adapters,
                folder / "vmcore",
                flow=kdump.Flow(notes_only=True),
                options=Options(crashkernel=crashkernel),
                deadlines=kdump.Deadlines(driver=180, save=60),  # such a kernel may stand still
                prepared=prepared,
            )
        except RunError as error:
            return error.reason
    return "".join(verdict.reason for verdict in (*report.missing, *report.partial))


@thorough
@pytest.mark.parametrize("crashkernel", ["48M", "64M"])
def test_a_crash_kernel_with_too_little_memory_for_a_dump_is_told(prepared, tmp_path, crashkernel):
    told = told_with(crashkernel, prepared, tmp_path)
    assert "the crash kernel ran out of memory" in told
    assert f"crashkernel={crashkernel}" in told


# Failures


def test_the_kernel_reports_that_the_dump_does_not_fit_in_its_memory(prepared, tmp_path):
    card = emu.Card.load("t6225-cr", map_window=True)
    with serve_cards([card], tmp_path) as adapters:
        report = kdump.run(
            adapters,
            tmp_path / "vmcore",
            flow=kdump.Flow(notes_only=True),
            options=Options(crashkernel="56M"),
            prepared=prepared,
        )
    assert report.device_dumps == ()
    (missing,) = report.missing
    assert "the crash kernel ran out of memory with crashkernel=56M" in missing.reason
    assert "Fail collecting vmcore device dump, err: -12" in report.console.read_text()


def test_an_emulator_killed_during_the_dump_ends_the_guest(prepared, tmp_path):
    with served_apart(tmp_path, "t6225-cr") as (adapter, process):

        def on_stage(stage: kdump.Stage) -> None:
            if stage is kdump.Stage.CRASHED:
                killer.start()

        killer = threading.Timer(1.0, process.kill)
        with pytest.raises(
            PeerDied, match=r"the emulator of .*card\.sock ended while the guest was running"
        ):
            kdump.run([adapter], tmp_path / "vmcore", on_stage=on_stage, prepared=prepared)
    assert not (tmp_path / "vmcore").exists()


@thorough
def test_a_lost_connection_ends_the_guest(prepared, tmp_path):
    """The server's process is not watched here; QEMU logs that its connection is gone."""
    with served_apart(tmp_path, "t6225-cr") as (adapter, process):

        def on_stage(stage: kdump.Stage) -> None:
            if stage is kdump.Stage.CRASHED:
                killer.start()

        killer = threading.Timer(1.0, process.kill)
        unwatched = Adapter(adapter.socket)
        with pytest.raises(PeerDied, match="lost its connection"):
            kdump.run([unwatched], tmp_path / "vmcore", on_stage=on_stage, prepared=prepared)
