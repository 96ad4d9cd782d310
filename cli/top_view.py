"""What `vmcoredd top` shows: rates as lines of text, so many as there is room for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmcoredd.plural import counted

Look = Mapping[str, Any]
BITS = 8
BAR = 20
"""Columns of the longest bar."""
LEAST = 5
"""Rows of a list that are shown, however small the terminal."""
MANY = 1 << 16


def lines(look: Look, width: int, height: int = MANY) -> list[str]:
    """Returns the lines of one look, at most `height` if that is enough for the least."""
    head, ports = list(_head(look)), list(_ports(look))
    lists = _blocks(look), _commands(look), _queues(look)
    rooms = _rooms([*map(len, lists)], height - len(head) - len(ports) - 1)
    blocks, commands, queues = (_fitting(*each) for each in zip(lists, rooms, strict=True))
    return [line[:width] for line in (*head, "", *blocks, *commands, *ports, *queues)]


def _rooms(needs: list[int], room: int) -> list[int]:
    """Shares `room` lines out; each gets its least at any rate, and no more than it needs."""
    given = [min(need, LEAST) for need in needs]
    while sum(given) < room and given != needs:
        short = [index for index, need in enumerate(needs) if given[index] < need]
        given[min(short, key=given.__getitem__)] += 1
    return given


def _fitting(rows: Sequence[str], most: int) -> list[str]:
    """Returns the first rows and the last, and between them how many there are more."""
    if len(rows) <= most:
        return list(rows)
    return [*rows[: most - 2], f"  {len(rows) - most + 1} more", rows[-1]]


def _head(look: Look) -> Iterator[str]:
    client = look["client"]
    who = f"process {client['process']}" if client else "no client"
    moment = time.strftime("%H:%M:%S")
    yield f"{look['card']}, {who}, firmware {look['firmware']}; {moment}"
    if look["faults"]:
        yield f"faults: {', '.join(look['faults'])}"
    names = ("messages", "interrupts", "troubles")
    told = [f"{_count(look[f'{name}_per_second'])} {name}/s" for name in names]
    dma = [_count(look[f"dma_{name}_per_second"]) for name in ("reads", "writes")]
    yield ", ".join([*told[:1], f"DMA read {dma[0]}/s written {dma[1]}/s", *told[1:]])


def _blocks(look: Look) -> list[str]:
    rows = look["blocks"]
    idle = f"{counted(look['idle_blocks'], 'block')} idle"
    if not rows:
        return [f"no register is accessed; {idle}"]
    most = max(map(_words, rows))
    shown = [f"{'block':<18} {'words read/s':>13} {'written/s':>11}"]
    for row in rows:
        read, written = row["words_read_per_second"], row["words_written_per_second"]
        bar = "#" * round(BAR * _words(row) / most)
        line = f"{row['block']:<18} {_count(read):>13} {_count(written):>11}  {bar}"
        shown.append(line.rstrip())
    return [*shown, f"  {idle}"] if look["idle_blocks"] else shown


def _words(row: Look) -> float:
    return float(row["words_read_per_second"] + row["words_written_per_second"])


def _commands(look: Look) -> list[str]:
    rows = look["commands"]
    if not rows:
        return []
    head = f"{'command':<18} {'per second':>13} {'in all':>11}"
    return [
        "",
        head,
        *(f"{r['command']:<18} {_count(r['per_second']):>13} {r['count']:>11,}" for r in rows),
    ]


def _ports(look: Look) -> Iterator[str]:
    yield ""
    yield (
        f"{'port':<5}{'link':<13}{'sent/s':>10}{'Mbit/s':>10}{'dropped/s':>11}"
        f"{'received/s':>13}{'Mbit/s':>10}"
    )
    for port in look["ports"]:
        sent, received = port["sent"], port["received"]
        link = "up" if port["up"] else "down, pulled" if port["pulled"] else "down"
        yield (
            f"{port['port']:<5}{link:<13}{_count(sent['frames_per_second']):>10}{_mbit(sent):>10}"
            f"{_count(sent['drops_per_second']):>11}"
            f"{_count(received['frames_per_second']):>13}{_mbit(received):>10}"
        )


def _queues(look: Look) -> list[str]:
    rows, idle = look["queues"], f"{counted(look['idle_queues'], 'queue')} idle"
    if not rows:
        return ["", f"no queue moves; {idle}"] if look["idle_queues"] else []
    shown = ["", f"{'queue':<18} {'PF port':>13} {'entries/s':>11}"]
    for row in rows:
        name, where = f"{row['kind']} {row['queue']}", f"{row['pf']}    {row['port']}"
        halted = "  halted" if row["halted"] else ""
        shown.append(f"{name:<18} {where:>13} {_count(row['produced_per_second']):>11}{halted}")
    return [*shown, f"  {idle}"] if look["idle_queues"] else shown


def _mbit(traffic: Look) -> str:
    return f"{traffic['bytes_per_second'] * BITS / 1e6:,.1f}"


def _count(rate: float) -> str:
    """A rate; below ten with a digit behind the point."""
    return f"{rate:,.1f}" if 0 < rate < 10 else f"{rate:,.0f}"
