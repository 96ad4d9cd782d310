"""Dumps several adapters at once, as a crash kernel does: probes each and registers its dump.

Adapters behind sockets are dumped by worker processes, a share of them by each cpu's; those that
only this process can open, by a thread each. The registry lists the dumps in the order of the
requests, as if the adapters had been probed one after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from vmcoredd import driver
from vmcoredd.cudbg import collection
from vmcoredd.cudbg.collection import Collected, Report
from vmcoredd.cudbg.entity import entities
from vmcoredd.driver import workers
from vmcoredd.driver.adapter import Adapter, Summary
from vmcoredd.driver.errors import WorkerDied
from vmcoredd.vmcore import DeviceDump, DeviceDumps

Progress = Callable[[int, Collected, int, int], None]
"""The adapter's index, then the arguments of `cudbg.collection.Progress`. Called from several
threads of this process, one at a time for each adapter."""


@dataclass(frozen=True)
class Served:
    """How to open the adapter behind the socket `path`, in whatever process: see `driver.open`."""

    path: str | os.PathLike[str]
    deadline: float = 5.0

    def __call__(self) -> Adapter:
        return driver.open(self.path, deadline=self.deadline)


@dataclass(frozen=True)
class Request:
    """An adapter to dump: the name for its dump, and how to open it."""

    name: str
    source: str
    """Its name in messages: a socket's path or a card's name."""
    open: Callable[[], Adapter]
    """Called in another process if it is a `Served`."""
    compress: str = "zlib"
    entities: Sequence[str] | None = None
    scene: str | None = None
    """What an emulated card has been through, if it is known."""


@dataclass
class Outcome:
    """The result for one adapter. If `dump` is None, `error` says why."""

    request: Request
    summary: Summary | None = None
    report: Report | None = None
    dump: DeviceDump | None = None
    error: Exception | None = None


class _Sent(NamedTuple):
    """An outcome as a worker sends it, beside its dump's descriptor."""

    summary: Summary | None
    report: Report | None
    error: Exception | None
    payload_bytes: int


def dump_all(
    requests: Sequence[Request], dumps: DeviceDumps, progress: Progress | None = None
) -> list[Outcome]:
    """Dumps every adapter into `dumps` and returns the outcomes in the order of the requests.

    An adapter that fails does not affect the others, nor does a worker process that dies affect
    those of other workers: its own have a `WorkerDied`. A process that has several threads cannot
    be copied, and dumps all adapters in threads of its own.
    """
    outcomes = [Outcome(request) for request in requests]
    served = [i for i, request in enumerate(requests) if isinstance(request.open, Served)]
    others = [i for i in range(len(requests)) if i not in served]
    entities()  # imports their modules once, before the process is copied

    def work(index: int, send: workers.Send) -> None:
        _dump_and_send(requests[index], dumps, send, tell=progress is not None)

    def dump_here(index: int) -> None:
        _dump(outcomes[index], dumps, partial(progress, index) if progress else None)

    with (
        ThreadPoolExecutor(max(len(requests), 1)) as threads,
        workers.Crew(served, workers.useful(len(served)), work) as crew,
    ):
        done = [threads.submit(dump_here, index) for index in (*others, *crew.left)]
        for message in crew.messages():
            if message.last:
                _receive(message, outcomes[message.job])
            elif progress:
                progress(message.job, *message.content)
        for one in done:
            one.result()
    for outcome in outcomes:
        if outcome.dump:
            dumps.add(outcome.dump)
    return outcomes


def _dump(
    outcome: Outcome, dumps: DeviceDumps, progress: collection.Progress | None = None
) -> None:
    request = outcome.request
    try:
        with request.open() as adapter:
            size, fill = adapter.device_dump(
                compress=request.compress, entities=request.entities, progress=progress
            )
            outcome.dump = dumps.make(request.name, size, fill)
            outcome.report = adapter.report
            outcome.summary = adapter.summary()
    except Exception as error:  # noqa: BLE001 - it must not cost the other adapters their dumps
        outcome.error = error


def _dump_and_send(request: Request, dumps: DeviceDumps, send: workers.Send, *, tell: bool) -> None:
    """Dumps an adapter in a worker, and sends the outcome as `_Sent`, the dump as a descriptor."""
    outcome = Outcome(request)
    _dump(outcome, dumps, (lambda *told: send(told)) if tell else None)
    dump = outcome.dump
    size = len(dump.payload) if dump else 0
    sent = _Sent(outcome.summary, outcome.report, outcome.error, size)
    send(sent, last=True, fd=dump.fileno() if dump else -1)
    if dump:
        dump.close()


def _receive(message: workers.Message, outcome: Outcome) -> None:
    if isinstance(message.content, WorkerDied):
        outcome.error = message.content
        return
    outcome.summary, outcome.report, outcome.error, size = message.content
    if message.fd < 0:
        return
    try:
        outcome.dump = DeviceDump.received(outcome.request.name, message.fd, size)
    except OSError as error:  # there is no memory, or no descriptor left
        outcome.report, outcome.error = None, error
