"""The machine: its CPUs, and the placement of processes on them."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Placement:
    """The CPUs of the client (this process) and of the server."""

    name: str
    client: frozenset[int]
    server: frozenset[int]


def placements() -> tuple[Placement, ...]:
    """Returns the placements: client and server on separate CPUs, if there are two, and on one."""
    cpus = sorted(os.sched_getaffinity(0))
    first = frozenset(cpus[:1])
    one = Placement("one cpu", first, first)
    if len(cpus) < 2:
        return (one,)
    return Placement("two cpus", first, frozenset(cpus[1:2])), one


def anywhere() -> Placement:
    """Returns the default placement: client and server share all CPUs."""
    cpus = frozenset(os.sched_getaffinity(0))
    return Placement("no placement", cpus, cpus)


@contextlib.contextmanager
def on_cpus(cpus: frozenset[int]) -> Iterator[None]:
    """Runs this thread, and threads and processes that it starts, on `cpus`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def describe() -> dict[str, object]:
    """Describes the machine, for readers who compare figures."""
    return {
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def children_seconds() -> float:
    """Returns the CPU seconds of this process's running and finished children."""
    running = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    schedules = [file for pid in running for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    alive = sum(int(file.read_text().split()[0]) for file in schedules) / 1e9
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return alive + ended.ru_utime + ended.ru_stime


def seconds_of(pid: int) -> float:
    """Returns the CPU seconds of a running process: of all its threads, also those that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def together(pid: int) -> int:
    """Returns the bytes of memory of a process and its descendants, each page counted once.

    Memory of memfds counts even if nobody maps it; the file cache does not.
    """
    shares, memfds = 0, {}
    for one in _tree(pid):
        with contextlib.suppress(OSError):  # it has ended
            rollup = dict(re.findall(r"(?m)^(Pss\w*): +(\d+) kB$", _rollup(one)))
            shares += (int(rollup["Pss"]) - int(rollup["Pss_Shmem"])) * 1024
            for fd in Path(f"/proc/{one}/fd").iterdir():
                if os.readlink(fd).startswith("/memfd:"):
                    file = fd.stat()
                    memfds[file.st_ino] = file.st_blocks * 512
    return shares + sum(memfds.values())


def _rollup(pid: int) -> str:
    return Path(f"/proc/{pid}/smaps_rollup").read_text() or "Pss: 0 kB\nPss_Shmem: 0 kB\n"


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for file in Path(f"/proc/{one}/task").glob("*/children"):
                found += map(int, file.read_text().split())
    return found


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
