"""The verbs of a control socket. Each is a function that is marked `@verb`, and no more:

    @verb("blink", "Lets the light of a port blink.", port=NUMBER)
    def blink(served: Served, *, port: int = 0) -> dict[str, Any]:
        ...
        return {"seconds": 5}

The keywords of `@verb` are the keys that a request may hold, and what they hold; it must hold those
for which the function has no default. `changes=True`: it changes the card, so a trace has its
requests. What the function returns follows `"ok": true` in the answer. It runs in the thread that
serves the card, between two messages of its client, and so must not wait; `runs` may say otherwise
(`Runs`). An EmuError or OSError becomes the answer's `error`. What has to end with the socket goes
on `served.closing`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, TypeVar

from vmcoredd.chip.devlog import DevlogEntry, facility_name, level_name
from vmcoredd.emu.access_log import AccessLog
from vmcoredd.emu.control.protocol import NUMBER, ONE_PATH, ONE_TEXT, TEXTS, Kind, Runs, Verb
from vmcoredd.emu.control.state import Served, access_totals, snapshots, state, told_faults
from vmcoredd.emu.errors import EmuError
from vmcoredd.emu.firmware import Firmware
from vmcoredd.emu.silicon import faults
from vmcoredd.emu.snapshot import Snapshot
from vmcoredd.emu.triggers import parse, waits
from vmcoredd.plural import counted
from vmcoredd.trace.records import Source

SNAPSHOTS = 16
"""Kept by one card at most."""
RECORDS = 500
"""Of each log in one answer, at most."""

F = TypeVar("F", bound=Callable[..., dict[str, Any]])
VERBS: dict[str, Verb] = {}
"""Every verb, by name."""


class Impossible(EmuError):
    """What was asked for cannot be done now; says what to do instead."""


def verb(
    name: str, meaning: str, /, *, runs: Runs = Runs.ON_CARD, changes: bool = False, **keys: Kind
) -> Callable[[F], F]:
    """Makes a function a verb; see the module."""

    def mark(function: F) -> F:
        parameters = inspect.signature(function).parameters
        needs = tuple(key for key in keys if parameters[key].default is inspect.Parameter.empty)
        VERBS[name] = Verb(name, meaning, keys, function, needs, runs, changes)
        return function

    return mark


@verb("help", "Lists the verbs, with their keys.", runs=Runs.AT_ONCE)
def help_(_served: Served) -> dict[str, Any]:
    return {
        "verbs": [
            {
                "verb": each.name,
                "meaning": each.meaning,
                "keys": {key: kind.name for key, kind in each.keys.items()},
            }
            for each in VERBS.values()
        ]
    }


verb("state", "Tells the state of the card: client, counters, ports, queues, firmware.")(state)


@verb(
    "fault",
    "Switches faults on, or lets them wait for their triggers (FAULT@WHEN); undoes them, or lets "
    "them wait no more (off). Lists those that are on and those that wait.",
    changes=True,
    on=TEXTS,
    off=TEXTS,
)
def fault(
    served: Served, *, on: list[str] | None = None, off: list[str] | None = None
) -> dict[str, Any]:
    """Texts that no card knows are refused before anything is done."""
    card = served.card
    known = faults()
    for text in on or ():
        parse(text, known)
    for text in off or ():
        if not waits(text) and text not in card.faults:
            raise Impossible(f"{text} is not on")
    for text in on or ():
        card.fail(text, undoable=True)
    card.undo(*[text for text in off or () if text in card.faults])
    for text in off or ():
        if waits(text):
            card.triggers.disarm(text)
    return told_faults(card)


@verb(
    "link",
    "Pulls the cable of a port (down), or plugs it in again (up).",
    changes=True,
    up=NUMBER,
    down=NUMBER,
)
def link(served: Served, *, up: int | None = None, down: int | None = None) -> dict[str, Any]:
    card = served.card
    for port, pulled in ((down, True), (up, False)):
        if port is not None:
            card.pull(port, pulled=pulled)
    return {"ports": [{key: port[key] for key in LINK_KEYS} for port in state(served)["ports"]]}


LINK_KEYS = ("port", "up", "pulled")


@verb(
    "log",
    f"Tells the firmware's device log and the access log, at most {RECORDS} records of each: those "
    "from `firmware_from` and `accesses_from` on. Where to go on is in the answer.",
    firmware_from=NUMBER,
    accesses_from=NUMBER,
)
def log(served: Served, *, firmware_from: int = 0, accesses_from: int = 0) -> dict[str, Any]:
    """Records of the device log that its ring has lost are left out."""
    firmware, accesses = served.card.firmware, served.card.access_log
    logged = firmware.state.logged  # fewer than `firmware_from` after a restore
    first = min(max(firmware_from, logged - firmware.log.entries), logged)
    end = min(first + RECORDS, logged)
    listed = list(_accesses(accesses, accesses_from))
    return {
        "firmware": [_record(firmware, number) for number in range(first, end)],
        "firmware_next": end,
        "firmware_lost": max(0, first - firmware_from),
        "accesses": listed,
        "accesses_next": min(accesses_from, len(accesses.counts)) + len(listed),
        "totals": access_totals(served.card),
    }


def _record(firmware: Firmware, number: int) -> dict[str, Any]:
    """Returns a record as it is in adapter memory, which drivers can write too."""
    record = DevlogEntry.from_bytes(firmware.log.read(number))
    return {
        "record": number,
        "at_seconds": record.timestamp / (firmware.profile.card.core_clock * 1000),
        "level": level_name(record.level),
        "facility": facility_name(record.facility),
        "format": bytes(record.fmt).split(b"\0")[0].decode("latin-1").rstrip("\n"),
        "operands": [int(each) for each in record.params],
    }


def _accesses(accesses: AccessLog, first: int) -> Iterator[dict[str, Any]]:
    for one, count in islice(accesses.counts.items(), first, first + RECORDS):
        kind = one.kind.name.lower()
        yield {"kind": kind, "access": f"{one.verb} {one.location}", "count": count}


@verb(
    "snapshot",
    f"Keeps the state of the card under a name (at most {SNAPSHOTS}), or forgets it. Lists those "
    "that are kept.",
    changes=True,
    name=ONE_TEXT,
    forget=ONE_TEXT,
)
def snapshot(
    served: Served, *, name: str | None = None, forget: str | None = None
) -> dict[str, Any]:
    kept = served.snapshots
    if forget is not None:
        _kept(served, forget)
        del kept[forget]
    if name is not None:
        if name not in kept and len(kept) >= SNAPSHOTS:
            kept_now = counted(SNAPSHOTS, "snapshot is", "snapshots are")
            raise Impossible(f"{kept_now} kept already: forget one")
        kept[name] = served.card.snapshot()
    return {"snapshots": snapshots(served)}


@verb("restore", "Restores a snapshot, with the faults that were on.", changes=True, name=ONE_TEXT)
def restore(served: Served, *, name: str) -> dict[str, Any]:
    kept = _kept(served, name)
    served.card.restore(kept)
    return told_faults(served.card)


def _kept(served: Served, name: str) -> Snapshot:
    if name not in served.snapshots:
        there = ", ".join(served.snapshots)
        raise Impossible(
            f"no snapshot {name!r}; {f'there is {there}' if there else 'none is kept'}"
        )
    return served.snapshots[name]


@verb("reset", "Resets the function as FLR does; memories, firmware and faults stay.", changes=True)
def reset(served: Served) -> dict[str, Any]:
    served.card.reset(Source.USER)
    return {}


@verb(
    "trace",
    "Begins a trace: in a new file (`to`), or for `trace-take`.",
    runs=Runs.BESIDE,
    to=ONE_PATH,
)
def trace(served: Served, *, to: str | None = None) -> dict[str, Any]:
    return served.tracing.begin() if to is None else served.tracing.record(to)


@verb(
    "trace-take",
    "Returns the next records of a trace (trace/ring.h), compressed (zlib), in base64.",
    runs=Runs.BESIDE,
)
def trace_take(served: Served) -> dict[str, Any]:
    return served.tracing.take()


@verb("trace-end", "Ends the trace that `trace` has begun.", runs=Runs.BESIDE)
def trace_end(served: Served) -> dict[str, Any]:
    return served.tracing.end()


@verb("stop", "Ends the server in order, as SIGTERM does.", runs=Runs.AT_ONCE)
def stop(served: Served) -> dict[str, Any]:
    served.server.stop()
    return {}
