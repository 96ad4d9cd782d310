"""A pool of this machine: threads, each with a process that tries cells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from vmcoredd.fleet.sweep.jobs import Submit, tried

GUEST_MIB = 2560
"""A guest of 2 GiB, its QEMU, and the process with its card."""
CELL_MIB = 512
"""Our own driver's dump of a card with its memories."""
CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 30
"""MiB."""


@contextmanager
def pool(jobs: int) -> Iterator[Submit]:
    """Yields what submits jobs to a pool that tries so many cells at once. At its end, cells that
    have not begun are dropped; those that have, end when their sweep does."""
    executor = ThreadPoolExecutor(jobs, thread_name_prefix="sweep")
    try:
        yield lambda job: executor.submit(tried, job)
    finally:
        executor.shutdown(cancel_futures=True)


def default_jobs(*, guests: bool) -> int:
    """Returns how many cells this machine can try at once: one on each processor, as long as the
    memory suffices."""
    need = GUEST_MIB if guests else CELL_MIB
    return max(1, min(len(os.sched_getaffinity(0)), free_mib() // need))


def free_mib() -> int:
    """Returns the memory that this machine, or this container, can give, in MiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    available = int(found["MemAvailable"].split()[0]) >> 10
    return min(available, _left_of_group())


def _left_of_group() -> int:
    """Returns what a container's limit leaves, in MiB (cgroup v2)."""
    try:
        most = (CGROUP / "memory.max").read_text().strip()
        used = (CGROUP / "memory.current").read_text().strip()
    except OSError:
        return UNLIMITED
    if not most.isdecimal():
        return UNLIMITED
    return max(int(most) - int(used), 0) >> 20
