"""What a served card did between two looks at its state (emu/control/state.py), per second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any

State = Mapping[str, Any]
Rate = Callable[[int, int], float]
COUNTS = ("messages", "dma_reads", "dma_writes", "interrupts", "troubles")
TOLD = ("card", "socket", "client", "faults")
SENT = {"frames": "frames", "bytes": "data_bytes", "drops": "drops"}
RECEIVED = {"frames": "frames", "bytes": "data_bytes"}


def rates(before: State, now: State, seconds: float) -> dict[str, Any]:
    """Returns what moved, each list with what moved most first; the rest is counted.

    A count that went back, since a snapshot was restored or a queue was freed, did not move.
    """

    def rate(old: int, new: int) -> float:
        return round(max(0, new - old) / seconds, 1)

    blocks = _busiest(_blocks(before, now, rate))
    queues = _busiest(_queues(before, now, rate))
    return {
        **{name: now[name] for name in TOLD},
        "firmware": now["firmware"]["mode"],
        "interval_seconds": round(seconds, 3),
        **{f"{name}_per_second": rate(before[name], now[name]) for name in COUNTS},
        "blocks": blocks,
        "idle_blocks": len(now["blocks"]) - len(blocks),
        "commands": _busiest(_commands(before, now, rate)),
        "ports": [*_ports(before, now, rate)],
        "queues": queues,
        "idle_queues": len(now["queues"]) - len(queues),
    }


def _busiest(found: Iterator[tuple[float, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Returns those that moved, the busiest first."""
    moved = sorted((each for each in found if each[0]), key=itemgetter(0), reverse=True)
    return [one for _, one in moved]


def _blocks(before: State, now: State, rate: Rate) -> Iterator[tuple[float, dict[str, Any]]]:
    old = {one["block"]: one for one in before["blocks"]}
    for one in now["blocks"]:
        was = old.get(one["block"], {"words_read": 0, "words_written": 0})
        read, written = (rate(was[key], one[key]) for key in ("words_read", "words_written"))
        yield (
            read + written,
            {
                "block": one["block"],
                "words_read_per_second": read,
                "words_written_per_second": written,
            },
        )


def _commands(before: State, now: State, rate: Rate) -> Iterator[tuple[float, dict[str, Any]]]:
    old = {one["command"]: one["count"] for one in before["commands"]}
    for one in now["commands"]:
        speed = rate(old.get(one["command"], 0), one["count"])
        yield speed, {**one, "per_second": speed}


def _queues(before: State, now: State, rate: Rate) -> Iterator[tuple[float, dict[str, Any]]]:
    old = {(one["kind"], one["queue"]): one for one in before["queues"]}
    for one in now["queues"]:
        was = old.get((one["kind"], one["queue"]))
        speed = rate(was["produced"] if was else 0, one["produced"])
        kept = {name: one[name] for name in ("kind", "queue", "pf", "port", "halted")}
        yield speed, {**kept, "produced_per_second": speed}


def _ports(before: State, now: State, rate: Rate) -> Iterator[dict[str, Any]]:
    """Yields all ports: one that does not move may be what is wrong."""
    for was, one in zip(before["ports"], now["ports"], strict=True):
        yield {
            **{name: one[name] for name in ("port", "up", "pulled", "wire", "peer")},
            "sent": _traffic(was["sent"], one["sent"], SENT, rate),
            "received": _traffic(was["received"], one["received"], RECEIVED, rate),
        }


def _traffic(was: State, one: State, names: Mapping[str, str], rate: Rate) -> dict[str, float]:
    return {f"{name}_per_second": rate(was[key], one[key]) for name, key in names.items()}
