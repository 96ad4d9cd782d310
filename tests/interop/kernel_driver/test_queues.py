"""The queues that the kernel's driver sets up, as a dump shows them: its own commands are the
witness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from carddump import collect

from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness
from vmcoredd import cudbg, emu
from vmcoredd.chip.firmware import EqCtrl, EqEth, FwCommand, Iq, Retval, command_of
from vmcoredd.cudbg.decoded import Table
from vmcoredd.emu.silicon.mailbox import Mailboxes

pytestmark = pytest.mark.interop

CARDS = ("t520-cr", "t62100-cr")
FREE_LIST_UNITS = 8
"""Units of 8 buffers that cxgb4 gives to a new free list."""


@dataclass
class Asked:
    """What a driver asked of the firmware and got, in order."""

    replies: list[FwCommand] = field(default_factory=list)

    def queues(self) -> dict[tuple[str, int], dict[str, int]]:
        """What the contexts of the queues must show, by kind and number."""
        found: dict[tuple[str, int], dict[str, int]] = {}
        for reply in self.replies:
            if isinstance(reply, Iq) and reply.alloc:
                found |= self._received(reply)
            if isinstance(reply, EqEth | EqCtrl) and reply.alloc:
                found["egress", reply.eqid] = _ring(reply.eqaddr, reply.eqsize)
        return found

    def _received(self, reply: Iq) -> Iterator[Any]:
        ring = _ring(reply.iqaddr, reply.iqsize) | {"InterruptIDX": reply.iqandstindex}
        yield ("ingress", reply.iqid), ring
        if reply.fl0id != 0xFFFF:
            filled = {"PIDX": FREE_LIST_UNITS}
            yield ("free list", reply.fl0id), _ring(reply.fl0addr, reply.fl0size) | filled


def _ring(address: int, size: int) -> dict[str, int]:
    return {"BaseAddress": address, "QueueSize": size}


@contextmanager
def listened(card: emu.Card) -> Iterator[Asked]:
    """Records the replies to all commands."""
    firmware, asked = card.model(Mailboxes).firmware, Asked()
    execute = firmware.execute

    def listen(pf: int, data: bytes, refusal: Retval | None = None) -> bytes:
        reply = execute(pf, data, refusal)
        command = command_of(reply)
        assert command is not None
        asked.replies.append(command)
        return reply

    firmware.execute = listen
    yield asked
    firmware.execute = execute


def shown(dump: cudbg.Dump) -> dict[tuple[str, int], dict[str, Any]]:
    """The contexts of a dump that have a ring, by kind and number."""
    tables = [part for part in dump.decode("DUMP_CONTEXT") if isinstance(part, Table)]
    found = {}
    for table in tables[:2]:  # egress, ingress
        names = [column.name for column in table.columns]
        rows = (dict(zip(names, row, strict=True)) for row in table.rows)
        found |= {(str(row["kind"]), int(str(row["queue"]))): row for row in rows}
    return found


def assert_shown(dump: cudbg.Dump, queues: dict[tuple[str, int], dict[str, int]]) -> None:
    found = shown(dump)
    assert set(found) == set(queues)
    for queue, values in queues.items():
        assert {name: found[queue][name] for name in values} == values, queue


def dump_of(card: emu.Card) -> cudbg.Dump:
    card.engine.run()  # what was rung for is shown
    return collect(card, entities=("DUMP_CONTEXT",)).dump


@pytest.mark.parametrize("name", CARDS)
def test_a_dump_shows_the_rings_of_the_kernels_driver(library: Path, name: str) -> None:
    card = emu.Card.load(name, scene="fresh", strict=True)
    with Harness(library, emulated(card)) as witness, listened(card) as asked:
        assert witness.bring_up() == 0
        assert witness.interface_up(0) == 0
        queues = asked.queues()
        assert len(queues) == 1 + 3 * 2 + 2 + 1  # events; receive, list, send; control; PTP
        assert_shown(dump_of(card), queues)
        witness.remove()
        assert_shown(dump_of(card), {})


@pytest.mark.parametrize("name", CARDS)
def test_the_crash_kernel_dumps_the_dead_drivers_queues_and_then_frees_them(
    library: Path, name: str
) -> None:
    card = emu.Card.load(name, scene="fresh", strict=True, memory={"mc0": 1})
    with (
        Harness(library, emulated(card)) as crashed,
        Harness(library, emulated(card)) as capturing,
        listened(card) as asked,
    ):
        assert crashed.bring_up() == 0
        assert crashed.interface_up(0) == 0
        dead = asked.queues()
        card.engine.run()
        asked.replies.clear()
        assert capturing.bring_up(kdump=True) == 0
        assert_shown(cudbg.Dump(capturing.payload), dead)
        assert_shown(dump_of(card), asked.queues())
        engine = card.engine.c
        addresses = {q.address for q in (*engine.ingress, *engine.egress) if q.address}
        assert not addresses & {ring["BaseAddress"] for ring in dead.values()}
