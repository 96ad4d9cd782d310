"""A cluster of Dask's, reached through its executor.

What is sent to its workers and back is a pickle: whoever can reach the scheduler can run code on
all of them. Its hosts share a file system, on which the rows are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vmcoredd import debs
from vmcoredd.fleet.sweep.errors import ClusterError
from vmcoredd.fleet.sweep.jobs import Job, tried
from vmcoredd.plural import counted

GUESTS = "guests"
"""The resource that a worker has for each guest that its host can run at once."""
RETRIES = 1
"""Of a job that raised an error, such as that of a file system, on another worker perhaps."""
SECONDS_TO_CONNECT = 30.0
SECONDS_TO_LEAVE = 10.0
SECONDS_WITHOUT_WORKERS = 600.0
"""For a cluster that grows with its work: Slurm's and Kubernetes' workers come later."""


class Cluster:
    """A connection to a scheduler."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name
        self._guests = client.get_executor(pure=False, retries=RETRIES, resources={GUESTS: 1})
        self._others = client.get_executor(pure=False, retries=RETRIES)

    def submit(self, job: Job) -> Any:
        """Submits a job; returns its concurrent.futures.Future of a row."""
        return (self._guests if job.cell.is_guest else self._others).submit(tried, job)

    def cancel(self) -> None:
        """Takes back all jobs that have not begun."""
        for executor in (self._guests, self._others):
            executor.shutdown(wait=False)

    def lacking(self, *, guests: bool) -> str:
        """Returns why nobody can do jobs now, and what to do; an empty text if somebody can.

        Raises ClusterError if the scheduler is gone.
        """
        try:
            workers = self._client.scheduler_info()["workers"].values()
        except (OSError, TimeoutError) as error:
            raise ClusterError(f"{self._name}: the scheduler is gone: {error}") from error
        if not workers:
            return f"{self._name} has no workers: start some with `dask worker`"
        if guests and not any(worker["resources"].get(GUESTS) for worker in workers):
            has = counted(len(workers), "worker")
            what = f"{self._name} has {has}, none of which may run guests"
            return f"{what}: start them with `dask worker --resources {GUESTS}=N`"
        return ""


@contextmanager
def cluster(scheduler: str) -> Iterator[Cluster]:
    """Connects to a scheduler, by its address or the path of its file (`--scheduler-file`).

    Raises ClusterError, debs.ModuleMissing.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise debs.ModuleMissing("distributed", "clusters") from error
    where = {"scheduler_file": scheduler} if os.path.isfile(scheduler) else {"address": scheduler}
    try:
        make: Any = distributed.Client
        client = make(**where, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"{scheduler}: no scheduler answers: {error}") from error
    try:
        yield Cluster(client, scheduler)
    finally:
        client.close(timeout=SECONDS_TO_LEAVE)
