"""Dumps several adapters at once, as a crash kernel does: probes each and registers its dump.

Each adapter has its own thread. The registry lists the dumps in the order of the requests, as if
the adapters had been probed one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from vmcoredd.cudbg.collection import Collected, Report
from vmcoredd.driver.adapter import Adapter, Summary
from vmcoredd.vmcore import DeviceDumps

Progress = Callable[[int, Collected, int, int], None]
"""The adapter's index, then the arguments of `cudbg.collection.Progress`."""


@dataclass(frozen=True)
class Request:
    """An adapter to dump: the name for its dump, and how to open it."""

    name: str
    source: str
    """Its name in messages: a socket's path or a card's name."""
    open: Callable[[], Adapter]
    compress: str = "zlib"
    entities: Sequence[str] | None = None
    scene: str | None = None
    """What an emulated card has been through, if it is known."""


@dataclass
class Outcome:
    """The result for one adapter. If `report` is None there is no dump, and `error` says why."""

    request: Request
    summary: Summary | None = None
    report: Report | None = None
    error: Exception | None = None
    finished: threading.Event = field(default_factory=threading.Event)


def dump_all(
    requests: Sequence[Request], dumps: DeviceDumps, progress: Progress | None = None
) -> list[Outcome]:
    """Dumps every adapter into `dumps` and returns the outcomes in the order of the requests.

    An adapter that fails does not affect the others.
    """
    outcomes = [Outcome(request) for request in requests]
    with ThreadPoolExecutor(max_workers=len(outcomes)) as pool:
        work = [pool.submit(_dump, i, outcomes, dumps, progress) for i in range(len(outcomes))]
    for done in work:
        done.result()
    return outcomes


def _dump(
    index: int, outcomes: list[Outcome], dumps: DeviceDumps, progress: Progress | None
) -> None:
    outcome = outcomes[index]
    request = outcome.request
    try:
        with request.open() as adapter:
            _add(adapter, index, outcomes, dumps, progress)
            outcome.report = adapter.report
            outcome.summary = adapter.summary()
    except Exception as error:  # noqa: BLE001 - it must not cost the other adapters their dumps
        outcome.error = error
    finally:
        outcome.finished.set()


def _add(
    adapter: Adapter,
    index: int,
    outcomes: list[Outcome],
    dumps: DeviceDumps,
    progress: Progress | None,
) -> None:
    """Registers the dump once every earlier adapter is registered or has failed."""
    request = outcomes[index].request

    def report_progress(entity: Collected, number: int, total: int) -> None:
        if progress:
            progress(index, entity, number, total)

    size, fill = adapter.device_dump(
        compress=request.compress, entities=request.entities, progress=report_progress
    )

    def fill_in_turn(buffer: memoryview) -> None:
        fill(buffer)
        for earlier in outcomes[:index]:
            earlier.finished.wait()

    dumps.add_device_dump(request.name, size, fill_in_turn)
