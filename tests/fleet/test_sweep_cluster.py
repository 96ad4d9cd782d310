"""Sweeps on a cluster of Dask's own: real workers, each a process, one of which is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from distributed import LocalCluster
from sweeps import facts, planned, pooled, rows, small_cells

from vmcoredd.fleet.sweep.cells import HEALTHY, Cell
from vmcoredd.fleet.sweep.cluster import GUESTS, cluster
from vmcoredd.fleet.sweep.errors import ClusterError
from vmcoredd.fleet.sweep.rows import Folder, Result
from vmcoredd.fleet.sweep.sweeping import swept, watched

FAULTS = (HEALTHY, "parity-cim", "device-gone", "parity-mc1")


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[LocalCluster]:
    """Two processes with a thread each, and nannies that start others in their place."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=tmp_path / "dask",
    ) as local:
        yield local


def test_a_cluster_one_of_whose_workers_is_killed_makes_the_rows_of_the_pool(
    two_workers: LocalCluster, tmp_path: Path
) -> None:
    cells = small_cells(tmp_path, FAULTS, seeds=(0, 1))
    here, there = Folder(tmp_path / "here"), Folder(tmp_path / "there")
    expected = pooled(cells, here)
    made = planned(cells, there)
    with (
        cluster(two_workers.scheduler_address) as connected,
        closing(swept(made, there, connected.submit)) as coming,
    ):
        found = [next(coming)]
        victim = two_workers.workers[0]
        os.kill(victim.pid, signal.SIGKILL)
        found += coming
    assert facts(found) == facts(expected.values())
    assert facts(there.rows()) == facts(here.rows())
    assert not list(there.path.glob(".*.sweep"))


def test_guests_go_only_to_workers_that_may_run_them(
    two_workers: LocalCluster, tmp_path: Path
) -> None:
    with cluster(two_workers.scheduler_address) as connected:
        assert connected.lacking(guests=False) == ""
        why = connected.lacking(guests=True)
        assert "2 workers, none of which may run guests" in why
        assert f"--resources {GUESTS}=N" in why
        future = connected.submit(planned_job(tmp_path, Cell("t62100-cr", "6.1")))
        assert not future.done()
        connected.cancel()


def planned_job(tmp_path: Path, cell: Cell):  # type: ignore[no-untyped-def]
    from vmcoredd.fleet.sweep.jobs import Job, Settings, version

    return Job(cell, Settings(), str(tmp_path), "token", "key", version())


def test_a_cluster_without_workers_is_waited_for_and_then_an_error(tmp_path: Path) -> None:
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as empty,
        cluster(empty.scheduler_address) as connected,
    ):
        why = connected.lacking(guests=False)
        assert "has no workers: start some with `dask worker`" in why
        look = watched(lambda: connected.lacking(guests=False), patience=0)
        look()
        with pytest.raises(ClusterError, match="has no workers"):
            look()


def test_a_scheduler_that_goes_away_ends_the_sweep_and_leaves_what_is_done(
    two_workers: LocalCluster, tmp_path: Path
) -> None:
    cells = small_cells(tmp_path, [HEALTHY], seeds=range(6))
    folder = Folder(tmp_path / "rows")
    made = planned(cells, folder)
    with cluster(two_workers.scheduler_address) as connected:
        look = watched(lambda: connected.lacking(guests=False), patience=0)
        with closing(swept(made, folder, connected.submit, look)) as coming:
            first = next(coming)
            two_workers.close()
            with pytest.raises(ClusterError):
                list(coming)
    assert folder.row(first.cell) == first


def test_workers_that_die_one_after_the_other_with_a_cell_make_it_an_error(
    two_workers: LocalCluster, tmp_path: Path
) -> None:
    """The scheduler gives a cell up then, for its own sake; here it does so at once."""
    two_workers.scheduler.allowed_failures = 0
    cells = small_cells(tmp_path, ["cim-ibq-busy"])
    folder = Folder(tmp_path / "rows")
    made = planned(cells, folder)
    with cluster(two_workers.scheduler_address) as connected:
        killed = []

        def look() -> None:
            for name, worker in two_workers.scheduler.workers.items():
                if worker.processing and not killed:
                    killed.append(name)
                    pid = two_workers.workers[worker.name].pid
                    os.kill(pid, signal.SIGKILL)

        with closing(swept(made, folder, connected.submit, look)) as coming:
            (row,) = coming
    assert killed
    assert row.result is Result.ERROR
    assert row.facts.why == "each worker of the cluster that tried it died"
    assert folder.row(cells[0]) == row


def test_an_address_without_a_scheduler_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vmcoredd.fleet.sweep.cluster.SECONDS_TO_CONNECT", 1.0)
    with (
        pytest.raises(ClusterError, match="no scheduler answers"),
        cluster("tcp://127.0.0.1:9"),
    ):
        pass


def test_a_scheduler_is_found_by_its_file(two_workers: LocalCluster, tmp_path: Path) -> None:
    import json

    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps(two_workers.scheduler.identity()))
    with cluster(str(path)) as connected:
        assert connected.lacking(guests=False) == ""


def test_what_an_executor_gets_is_what_the_pool_gets(
    two_workers: LocalCluster, tmp_path: Path
) -> None:
    cells = small_cells(tmp_path, ["parity-mc1"])
    folder = Folder(tmp_path / "rows")
    with cluster(two_workers.scheduler_address) as connected:
        found = rows(planned(cells, folder), folder, connected.submit)
    assert found[cells[0]].result is Result.SKIP
