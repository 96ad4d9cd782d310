"""Sweeps in a pool: rows are what the driver and the verdict say; processes are killed, cells hang,
sweeps go on where they were. The same on a cluster: test_sweep_cluster.py."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sweeps import FAULTS, facts, planned, pooled, rows, small_card, small_cells

from vmcoredd import cudbg, emu, vmcore
from vmcoredd.diagnosis import diagnose
from vmcoredd.fleet.sweep import jobs, process
from vmcoredd.fleet.sweep.cells import HEALTHY, Cell, all_cells, shard
from vmcoredd.fleet.sweep.errors import NotShared, Stopped
from vmcoredd.fleet.sweep.jobs import Job, Settings, tried, version
from vmcoredd.fleet.sweep.pool import default_jobs, pool
from vmcoredd.fleet.sweep.rows import Folder, Result, Row
from vmcoredd.fleet.sweep.sweeping import swept


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cards")


@pytest.fixture(scope="module")
def whole(cards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, dict[Cell, Row]]:
    """The folder and the rows of a sweep, with vmcores."""
    folder = Folder(tmp_path_factory.mktemp("whole"))
    return folder, pooled(small_cells(cards), folder, jobs=2, keep_vmcore=True)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "rows")


def of_fault(rows: dict[Cell, Row], fault: str) -> Row:
    return next(row for row in rows.values() if row.cell.fault == fault)


def test_there_is_a_row_for_each_cell(cards: Path, whole: tuple[Folder, dict[Cell, Row]]) -> None:
    folder, found = whole
    assert {*found} == {*small_cells(cards)}
    assert {row.cell for row in folder.rows()} == {*found}
    assert all(folder.row(cell) == row for cell, row in found.items())
    assert not list(folder.path.glob(".*"))


def test_a_row_has_what_the_verdict_on_its_own_vmcore_says(
    whole: tuple[Folder, dict[Cell, Row]],
) -> None:
    folder, found = whole
    row = of_fault(found, "parity-cim")
    with vmcore.Reader(folder.path / row.files["vmcore"]) as reader:
        verdict = diagnose(cudbg.Dump(reader.payload(0)))
    assert [one["rule"] for one in row.facts.findings] == [one.rule for one in verdict.alarming]
    assert (row.result, row.facts.found, row.facts.lost) == (Result.PASS, True, {})


def test_a_healthy_card_passes_and_nothing_is_found(
    whole: tuple[Folder, dict[Cell, Row]],
) -> None:
    row = of_fault(whole[1], HEALTHY)
    assert (row.result, row.facts.found, row.facts.findings) == (Result.PASS, False, ())


def test_a_card_that_cannot_be_dumped_fails_with_the_reason(
    whole: tuple[Folder, dict[Cell, Row]],
) -> None:
    row = of_fault(whole[1], "device-gone")
    assert row.result is Result.FAIL
    assert row.facts.why.startswith("no device dump: ")
    assert (row.facts.found, row.files) == (None, {})


@pytest.mark.parametrize(
    ("fault", "why"), [("parity-mc1", "it has no MC1"), ("server-dies", "server")]
)
def test_a_fault_that_the_card_cannot_have_is_skipped_with_the_reason(
    whole: tuple[Folder, dict[Cell, Row]], fault: str, why: str
) -> None:
    row = of_fault(whole[1], fault)
    assert row.result is Result.SKIP
    assert why in row.facts.why


def test_a_profile_that_is_broken_by_a_fault_of_its_own_is_no_healthy_card(
    tmp_path: Path, folder: Folder
) -> None:
    """What a false alarm of the verdict, or a driver that breaks cards, would look like."""
    path = Path(small_card(tmp_path))
    path.write_text(f'faults = ["parity-cim"]\n{path.read_text()}')
    (row,) = pooled([Cell(str(path))], folder).values()
    assert row.result is Result.FAIL
    assert row.facts.why.startswith("the card is healthy, but the verdict has ")


def test_shards_into_one_folder_make_together_the_rows_of_the_whole(
    cards: Path, whole: tuple[Folder, dict[Cell, Row]], folder: Folder
) -> None:
    """Two at a time, as jobs of an array are."""
    cells = small_cells(cards)
    parts = [shard(cells, number, 3) for number in (1, 2, 3)]
    threads = [threading.Thread(target=pooled, args=(part, folder)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert facts(folder.rows()) == facts(whole[1].values())


def test_what_is_done_is_not_tried_again(
    cards: Path, whole: tuple[Folder, dict[Cell, Row]]
) -> None:
    folder, found = whole
    again = planned(small_cells(cards), folder, keep_vmcore=True)
    assert again.todo == []
    assert again.done == found


def test_a_row_whose_card_has_changed_is_tried_again(tmp_path: Path, folder: Folder) -> None:
    card = Path(small_card(tmp_path))
    cells = [Cell(str(card)), Cell("t520-cr")]
    done = pooled(cells[:1], folder)
    assert planned(cells, folder).todo == cells[1:]
    card.write_text(card.read_text().replace("mc0 = 1", "mc0 = 2"))
    assert planned(cells, folder).todo == cells
    assert done[cells[0]].result is Result.PASS


@pytest.mark.parametrize("changed", [{"keep_vmcore": True}, {"deadline": 7.0}], ids=str)
def test_only_settings_that_a_row_depends_on_make_it_anew(
    cards: Path, folder: Folder, changed: dict[str, object]
) -> None:
    cells = small_cells(cards, [HEALTHY])
    pooled(cells, folder)
    assert bool(planned(cells, folder, **changed).todo) == ("keep_vmcore" in changed)


def test_a_script_that_changed_makes_the_rows_of_guests_anew_and_no_others(folder: Folder) -> None:
    folder.open()
    for name in ("one", "two"):
        folder.write(name, name.encode())
    keys = {
        (kernel, name): jobs.key_of(Cell("a", kernel), Settings(name), folder.path, "card")
        for kernel in ("none", "6.1")
        for name in ("one", "two")
    }
    assert keys["none", "one"] == keys["none", "two"]
    assert keys["6.1", "one"] != keys["6.1", "two"]


def test_a_fault_that_there_is_not_ends_the_sweep_before_it_begins(
    cards: Path, folder: Folder
) -> None:
    with pytest.raises(emu.EmuError, match="did you mean parity-cim"):
        planned(small_cells(cards, ["parity-cmi"]), folder)


def test_an_error_is_tried_again_by_the_next_sweep(
    cards: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = small_cells(cards, [HEALTHY])
    monkeypatch.setattr(process.Worker, "_send", killed_first(process.Worker._send, 3))
    assert pooled(cells, folder)[cells[0]].result is Result.ERROR
    assert pooled(cells, folder)[cells[0]].result is Result.PASS


def killed_first(
    send: Callable[[process.Worker, dict[str, object]], None], times: int, fault: str = ""
) -> Callable[[process.Worker, dict[str, object]], None]:
    """Sends requests to processes, of which the first with this fault are killed at once."""
    left = [times]

    def sent(worker: process.Worker, request: dict[str, object]) -> None:
        send(worker, request)
        cell = request["cell"]
        assert isinstance(cell, dict)
        if left[0] and fault in ("", cell["fault"]):
            left[0] -= 1
            os.kill(worker._process.pid, signal.SIGKILL)

    return sent


def test_a_process_that_is_killed_is_replaced_and_its_cell_tried_again(
    cards: Path,
    whole: tuple[Folder, dict[Cell, Row]],
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = killed_first(process.Worker._send, 2, "parity-cim")
    monkeypatch.setattr(process.Worker, "_send", killed)
    found = pooled(small_cells(cards), folder, jobs=2)
    assert facts(found.values()) == facts(whole[1].values())
    assert {row.cell.fault: row.attempts for row in found.values()} == {
        fault: 3 if fault == "parity-cim" else 1 for fault in FAULTS
    }


def test_a_cell_that_kills_every_process_is_an_error_and_the_others_go_on(
    cards: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = killed_first(process.Worker._send, 99, "parity-cim")
    monkeypatch.setattr(process.Worker, "_send", killed)
    found = pooled(small_cells(cards, [HEALTHY, "parity-cim", "parity-mc1"]), folder)
    assert of_fault(found, "parity-cim").result is Result.ERROR
    assert of_fault(found, "parity-cim").facts.why == "its process was killed by SIGKILL, 3 times"
    assert of_fault(found, HEALTHY).result is Result.PASS
    assert of_fault(found, "parity-mc1").result is Result.SKIP


def test_a_cell_that_hangs_is_ended_at_its_deadline(
    cards: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process stands for any that hangs: it does not even hear SIGTERM."""
    send, stopped = process.Worker._send, []

    def sent(worker: process.Worker, request: dict[str, object]) -> None:
        send(worker, request)
        if not stopped:
            worker._rest = b'{"prepared": true}\n'
            stopped.append(worker._process)
            os.kill(worker._process.pid, signal.SIGSTOP)

    monkeypatch.setattr(process.Worker, "_send", sent)
    monkeypatch.setattr(process, "SECONDS_TO_END", 0.5)
    monkeypatch.setattr(Settings, "seconds", lambda _, cell: 1.0 if cell.fault == HEALTHY else 300)
    cells = small_cells(cards, [HEALTHY, "parity-mc1"])
    late, other = pooled(cells, folder).values()
    assert (late.result, late.facts.why) == (Result.FAIL, "not done in 1 s")
    assert stopped[0].returncode == -signal.SIGKILL
    assert other.result is Result.SKIP


def test_a_sweep_that_is_stopped_ends_its_processes_and_keeps_its_rows(
    cards: Path, folder: Folder
) -> None:
    made = planned(small_cells(cards, [HEALTHY], seeds=range(20)), folder)
    with pool(2) as submit, closing(swept(made, folder, submit)) as coming:
        first = next(coming)
    assert folder.row(first.cell) == first
    kept = [*folder.rows()]
    assert len(kept) < 20
    assert not list(folder.path.glob(".*"))  # no token, no folder of a cell that was being tried
    rest = planned(small_cells(cards, [HEALTHY], seeds=range(3)), folder)
    assert first.cell in rest.done


def test_a_cell_whose_sweep_has_ended_is_not_tried(cards: Path, folder: Folder) -> None:
    with pytest.raises(Stopped):
        tried(job(cards, folder, token="gone"))
    assert not list(folder.rows())


def test_a_host_with_another_version_tries_nothing(cards: Path, folder: Folder) -> None:
    with pytest.raises(NotShared, match="install the same"):
        tried(job(cards, folder, version="0.0.1"))


def test_a_host_that_does_not_see_the_folder_tries_nothing(cards: Path, tmp_path: Path) -> None:
    with pytest.raises(NotShared, match="a cluster needs a common file system"):
        tried(job(cards, Folder(tmp_path / "elsewhere"), made=False))


def job(
    cards: Path, folder: Folder, *, token: str = "", version: str = version(), made: bool = True
) -> Job:
    if made:
        folder.open()
    (cell,) = small_cells(cards, [HEALTHY])
    return Job(cell, Settings(), str(folder.path), token, "key", version)


def test_a_row_that_a_worker_wrote_before_it_died_is_taken_as_it_is(
    cards: Path, folder: Folder
) -> None:
    folder.open()
    with folder.token() as token:
        first = tried(job(cards, folder, token=token))
        assert tried(job(cards, folder, token=token)) == first


def test_a_row_that_cannot_be_written_ends_the_sweep_and_names_the_file(
    cards: Path, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = small_cells(cards, ["parity-mc1"], seeds=range(3))
    made = planned(cells, folder)
    (folder.path / f"{cells[0].id}.json").mkdir()
    with pytest.raises(OSError, match="directory") as error, pool(1) as submit:
        rows(made, folder, submit)
    assert error.value.errno == errno.EISDIR
    assert [row.cell for row in folder.rows()] == []


def test_a_processor_each_but_no_more_than_the_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpus = len(os.sched_getaffinity(0))
    monkeypatch.setattr("vmcoredd.fleet.sweep.pool.free_mib", lambda: 1 << 20)
    assert default_jobs(guests=True) == default_jobs(guests=False) == cpus
    monkeypatch.setattr("vmcoredd.fleet.sweep.pool.free_mib", lambda: 1000)
    assert default_jobs(guests=True) == 1


def test_a_cell_with_all_faults_of_the_emulator_has_a_result(tmp_path: Path) -> None:
    """Names and examples of all of them make files and cells; the page of faults has the rest."""
    examples = [fault.example for fault in emu.faults().values()]
    cells = all_cells(["t62100-cr"], ["none"], examples, [0])
    assert len({cell.id for cell in cells}) == len(examples)
    assert all(json.dumps(cell.id) == f'"{cell.id}"' for cell in cells)


def test_a_job_goes_through_json_as_it_is(cards: Path, folder: Folder) -> None:
    one = job(cards, folder)
    assert Job.from_json(json.loads(json.dumps(one.json()))) == one
