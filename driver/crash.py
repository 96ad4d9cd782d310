"""What a crash kernel does with several adapters: probe each, and add its dump to the registry.

All are dumped at once, each in a thread of its own; the dumps stand in the registry in the order in
which the adapters were named, as they would after probing one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pyvfio_user import VfioUserError
from vmcoredd.cudbg.collection import Collected, Report
from vmcoredd.cudbg.errors import CudbgError
from vmcoredd.driver.adapter import Adapter, Summary
from vmcoredd.driver.errors import DriverError
from vmcoredd.hw.errors import DeviceError
from vmcoredd.vmcore import DeviceDumps, VmcoreError

Progress = Callable[[int, Collected, int, int], None]
"""The adapter's place, then as `cudbg.collection.Progress`."""


@dataclass(frozen=True)
class Request:
    """An adapter to dump: the name of its dump, and how to reach it."""

    name: str
    source: str
    """What it is called in messages: a socket's path, or a card's name."""
    open: Callable[[], Adapter]
    compress: str = "zlib"
    entities: Sequence[str] | None = None


@dataclass
class Outcome:
    """How it went. Without a report there is no dump, and `error` says why."""

    request: Request
    summary: Summary | None = None
    report: Report | None = None
    error: Exception | None = None
    finished: threading.Event = field(default_factory=threading.Event)


def dump_all(
    requests: Sequence[Request], dumps: DeviceDumps, progress: Progress | None = None
) -> list[Outcome]:
    """Dumps every adapter into `dumps`; an adapter that fails keeps no other from being dumped."""
    outcomes = [Outcome(request) for request in requests]
    with ThreadPoolExecutor(max_workers=len(outcomes)) as pool:
        work = [pool.submit(_dump, i, outcomes, dumps, progress) for i in range(len(outcomes))]
    for done in work:
        done.result()
    return outcomes


def _dump(
    place: int, outcomes: list[Outcome], dumps: DeviceDumps, progress: Progress | None
) -> None:
    outcome = outcomes[place]
    request = outcome.request
    try:
        with request.open() as adapter:
            _add(adapter, place, outcomes, dumps, progress)
            outcome.report = adapter.report
            outcome.summary = adapter.summary()
    except (CudbgError, DeviceError, DriverError, VfioUserError, VmcoreError, OSError) as error:
        outcome.error = error
    finally:
        outcome.finished.set()


def _add(
    adapter: Adapter,
    place: int,
    outcomes: list[Outcome],
    dumps: DeviceDumps,
    progress: Progress | None,
) -> None:
    """Registers the dump when all before it are registered, or have failed."""
    request = outcomes[place].request

    def tell(entity: Collected, number: int, total: int) -> None:
        if progress:
            progress(place, entity, number, total)

    size, fill = adapter.device_dump(
        compress=request.compress, entities=request.entities, progress=tell
    )

    def fill_in_turn(buffer: memoryview) -> None:
        fill(buffer)
        for earlier in outcomes[:place]:
            earlier.finished.wait()

    dumps.add_device_dump(request.name, size, fill_in_turn)
