"""The pictures of a report, as coordinates for the template: memories, queues, ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vmcoredd.plural import counted

WIDTH = 1000
LANE = 22
_LETTER = 7
"""The width of a letter."""
_COLOURS = 8
_THINNEST = 1.5


class Box(NamedTuple):
    """A part of a bar; `colour` is a number from 0 on."""

    x: float
    y: int
    width: float
    label: str
    title: str
    colour: int


class Bar(NamedTuple):
    """A memory: its regions in lanes, since they may overlap."""

    name: str
    title: str
    height: int
    boxes: Sequence[Box]


def memories(
    extents: Iterable[Mapping[str, Any]], regions: Iterable[Mapping[str, Any]]
) -> list[Bar]:
    """Returns a bar for each row of MEMINFO's table of memories, with the regions in it."""
    spans = sorted(
        (int(r["from"]), int(r["to"]), str(r["region"])) for r in regions if r["from"] is not None
    )
    return [_memory(row, spans) for row in extents]


def _memory(row: Mapping[str, Any], spans: Sequence[tuple[int, int, str]]) -> Bar:
    first, last, name = int(row["from"]), int(row["to"]), str(row["memory"])
    ends: list[int] = []  # of the last region of each lane
    boxes = []
    size = max(last - first + 1, 1)
    for colour, (start, end, region) in enumerate(spans):
        if end < first or start > last or end < start:
            continue
        start, end = max(start, first), min(end, last)
        lane = next((i for i, taken in enumerate(ends) if taken < start), len(ends))
        ends[lane : lane + 1] = [end]
        width = max((end - start + 1) * WIDTH / size, _THINNEST)
        title = f"{region}: {start:#010x} to {end:#010x}, {counted(end - start + 1, 'byte')}"
        label = region if len(region) * _LETTER < width else ""
        x = (start - first) * WIDTH / size
        boxes.append(
            Box(round(x, 1), lane * LANE, round(width, 1), label, title, colour % _COLOURS)
        )
    title = f"{name}: {first:#010x} to {last:#010x}, {counted(size, 'byte')}"
    return Bar(name, title, max(len(ends), 1) * LANE, boxes)


class Queue(NamedTuple):
    """A queue: the parts of its ring between consumer and producer, as x and width of 100."""

    number: int
    kind: str
    text: str
    filled: Sequence[tuple[float, float]]


def queues(rows: Iterable[Mapping[str, Any]]) -> list[Queue]:
    """Returns the queues whose context tells a size and both indices."""
    found = []
    for row in rows:
        size, producer, consumer = (row.get(key) for key in ("ring", "PIDX", "CIDX"))
        if size and producer is not None and consumer is not None:
            text = f"{counted(int(size), 'entry')}, producer {producer}, consumer {consumer}"
            filled = _ring(int(producer), int(consumer), int(size))
            found.append(Queue(int(row["queue"]), str(row["kind"]), text, filled))
    return found


def _ring(producer: int, consumer: int, size: int) -> list[tuple[float, float]]:
    start, end = (round(100 * min(i, size) / size, 1) for i in (consumer, producer))
    if start <= end:
        return [(start, round(end - start, 1))] if end > start else []
    return [(start, round(100 - start, 1)), (0.0, end)]


class Port(NamedTuple):
    """An Ethernet port: its state in one word, and why."""

    name: str
    state: str
    why: str


def port(name: str, status: Mapping[str, int]) -> Port:
    """Returns a port from the fields of its MAC_PORT_LINK_STATUS."""
    faults = {"locflt": "local fault", "remflt": "remote fault", "hi_ber": "high bit error rate"}
    why = [words for field, words in faults.items() if status.get(field)]
    if why:
        return Port(name, "fault", ", ".join(why))
    is_up = status.get("linkup") and not status.get("linkdn")
    return Port(name, "up" if is_up else "down", "link up" if is_up else "link down")
