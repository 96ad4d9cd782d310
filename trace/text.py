"""Events for people: a line each, runs and loops as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vmcoredd.plural import counted, exact
from vmcoredd.trace.events import COMMAND, MEMORY, MOVE, REPLY, Event
from vmcoredd.trace.folding import Run, Step, folded

_INDENT = "  "
_ENOUGH = 12
"""Bytes of data that a line shows."""


def lines(events: Iterable[Event]) -> Iterator[str]:
    """Yields the lines of a trace."""
    for step in folded(events):
        yield from _step(step, "")


def _step(step: Step, indent: str) -> Iterator[str]:
    if isinstance(step, Run):
        yield _run(step, step, indent)
        return
    if len(step.first) == 1 and isinstance(step.first[0], Run):
        last = step.last[0]
        assert isinstance(last, Run)
        yield f"{_run(step.first[0], last, indent)} ({counted(step.times, 'time')})"
        return
    yield f"{_time(_beginning(step))}  {indent}{counted(step.times, 'time')}:"
    for one, last in zip(step.first, step.last, strict=True):
        if isinstance(one, Run) and isinstance(last, Run):
            yield _run(one, last, indent + _INDENT)
        else:
            yield from _step(one, indent + _INDENT)


def _beginning(step: Step) -> Event:
    return step.first if isinstance(step, Run) else _beginning(step.first[0])


def _time(event: Event) -> str:
    return f"{event.time / 1e9:12.6f}"


def _run(first: Run, last: Run, indent: str) -> str:
    """A line for a run, and for what it is in the last round of its loop."""
    one, end = first.first, last.last
    indent += _INDENT * one.nested
    text = " ".join(part for part in (_name(one), *_what(one, end, first)) if part)
    error = f" refused: {one.error}" if one.error else ""
    return f"{_time(one)}  {indent}{one.kind:<9} {text}{error}"


def _name(event: Event) -> str:
    return (
        f"{event.name}+{event.details['at']:#x}"
        if event.block == MEMORY and event.space
        else (event.name)
    )


def _what(one: Event, end: Event, run: Run) -> Iterator[str]:
    if end.kind == MOVE and end.offset != one.offset:
        yield f".. {end.details['memory']}+{end.details['at']:#x}"
    elif end is not one and end.name != one.name and end.space:
        yield f".. {_name(end)}"
    if run.times > 1 or (one.length > 8 and one.kind not in (COMMAND, REPLY)):
        yield _amount(run)
    if one.value is not None and one.space:
        yield _values(one, end)
        if end is one:
            yield _fields(one)
    elif one.value is not None:
        yield f"{one.value:#010x}"
    if not one.space and one.kind != MOVE:
        yield _details(one.details)
        if one.offset is not None and one.kind != MOVE:
            yield f"{one.offset:#x}, {exact(one.length, 'byte')}"
    if one.kind == REPLY:
        yield f"after {one.spent / 1000:.0f} us"
    if one.data and one.value is None and one.kind not in (COMMAND, REPLY):
        more = "..." if len(one.data) > _ENOUGH else ""
        yield f"{one.data[:_ENOUGH].hex(' ')}{more}"


def _amount(run: Run) -> str:
    if run.bytes and (run.ascending or run.times == 1):
        return f"({exact(run.bytes, 'byte')})"
    return f"({counted(run.times, 'time')})"


def _values(one: Event, end: Event) -> str:
    digits = 2 * max(one.length, 4) + 2
    text = f"= {one.value:#0{digits}x}"
    if end is not one and end.value != one.value and end.value is not None:
        text += f" .. {end.value:#0{digits}x}"
    return text


def _fields(event: Event) -> str:
    shown = [f"{name}={_short(value)}" for name, value in event.fields.items() if value]
    if event.kind == "write" and event.after not in (event.value, None):
        changed = [f"{n} {_short(a)}->{_short(b)}" for n, (a, b) in event.changes.items()]
        shown.append(f"(stores {event.after:#x}{': ' if changed else ''}{', '.join(changed)})")
    elif event.changes:
        changed = [f"{name} was {_short(old)}" for name, (old, _) in event.changes.items()]
        shown.append(f"({', '.join(changed)})")
    return " ".join(shown)


def _details(details: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_plain(value)}" for name, value in details.items())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_plain(one)}" for name, one in value.items())
    return _short(value) if isinstance(value, int) else str(value)


def _short(number: int) -> str:
    return str(number) if number < 10 else f"{number:#x}"


def heading(header: Mapping[str, Any], end: Mapping[str, Any] | None) -> str:
    """Returns what a trace is of, and whether it is complete: `end` is its mark."""
    card = header.get("card") or header["chip"].upper()
    parts = [f"{card}"]
    parts += [f"{name} {header[name]}" for name in ("seed", "scene") if name in header]
    parts += [f"fault {name}" for name in header.get("faults", ())]
    if end is None:
        return f"{', '.join(parts)}; INCOMPLETE: it has no mark at its end"
    parts.append(counted(end["events"], "event"))
    lost = end["lost"]
    return f"{', '.join(parts)}; {f'{lost:,} LOST: the ring was full' if lost else 'complete'}"
