"""Events for programs: JSON Lines, one object for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vmcoredd.trace.events import Decoder, Event, words_of


def lines(header: Mapping[str, Any], decoder: Decoder, events: Iterable[Event]) -> Iterator[str]:
    """Yields the header's line, then one for each event."""
    yield json.dumps({"kind": "header", **header})
    for event in events:
        yield line(decoder, event)


def line(decoder: Decoder, event: Event) -> str:
    """Returns the line of an event."""
    return json.dumps(_record(decoder, event))


def last_line(end: Mapping[str, Any] | None, damage: str) -> str:
    """Returns the line at the end: whether the trace is complete."""
    return json.dumps({"kind": "end", "complete": end is not None, "damage": damage, **(end or {})})


def _record(decoder: Decoder, event: Event) -> dict[str, Any]:
    """Returns the event without what it does not have; times are in ns, bytes in hex."""
    record: dict[str, Any] = {
        "time_ns": event.time,
        "spent_ns": event.spent,
        "kind": event.kind,
        "source": event.source,
        "block": event.block,
        "name": event.name,
        "space": event.space,
        "offset": event.offset,
        "length_bytes": event.length,
        "value": event.value,
        "before": event.before,
        "after": event.after,
        "fields": dict(event.fields),
        "changes": {name: list(pair) for name, pair in event.changes.items()},
        "registers": words_of(decoder, event) if event.length > 4 else {},
        "details": dict(event.details),
        "data": event.data.hex() if event.value is None else "",
        "error": event.error,
        "nested": event.nested,
        "times": event.times if event.kind == "lost" else None,
    }
    return {name: value for name, value in record.items() if name in _ALWAYS or _is_said(value)}


_ALWAYS = ("time_ns", "kind", "source", "block", "name")


def _is_said(value: Any) -> bool:
    """Whether a value tells something: a number does, also 0."""
    return value is not None and value is not False and value not in ("", {})
