"""Contexts show where queues are: in the table, and in adapter memory."""

from __future__ import annotations

import pytest
from frames import ethernet
from rxdriver import Rig, RxDriver
from txdriver import TxDriver, inline

from vmcoredd.chip.register import Field
from vmcoredd.chip.sge import CONTEXT_BYTES, CONTEXT_WORDS, ContextType
from vmcoredd.emu._cffi import ffi, lib

ROWS = 1024
ONES = (1 << 8 * CONTEXT_BYTES) - 1


class Contexts:
    """A table of contexts, and memory for those of queues; all bits are 1 at first."""

    def __init__(self, rig: Rig) -> None:
        self.rig, c = rig, rig.c
        self.words = ffi.new("uint32_t[]", 4 * ROWS * CONTEXT_WORDS)
        self.memory = {
            kind: ffi.new("uint8_t[]", ROWS * CONTEXT_BYTES)
            for kind in (ContextType.EGRESS, ContextType.INGRESS)
        }
        ffi.buffer(self.words)[:] = b"\xff" * ffi.sizeof(self.words)
        for each in self.memory.values():
            ffi.buffer(each)[:] = b"\xff" * ffi.sizeof(each)
        c.contexts, c.context_rows = self.words, ROWS
        c.egress_memory, c.ingress_memory = self.memory.values()
        c.egress_memory_rows = c.ingress_memory_rows = ROWS

    def number(self, kind: ContextType, row: int) -> int:
        """Returns a context of the table."""
        at = (kind * ROWS + row) * CONTEXT_BYTES
        data = bytes(ffi.buffer(self.words)[at : at + CONTEXT_BYTES])
        return int.from_bytes(data, "little")

    def copy(self, kind: ContextType, row: int) -> int:
        """Returns a context of memory, in which each pair of words has its highest byte first."""
        at = row * CONTEXT_BYTES
        data = bytes(ffi.buffer(self.memory[kind])[at : at + CONTEXT_BYTES])
        swapped = b"".join(data[n : n + 8][::-1] for n in range(0, CONTEXT_BYTES, 8))
        return int.from_bytes(swapped, "little")

    def fields(self, kind: ContextType) -> dict[str, Field]:
        fields = self.rig.core.spaces.chip.sge.context_fields(kind)
        return {field.name: field for field in fields}

    def check(self, kind: ContextType, row: int, **values: int) -> None:
        """Checks that a context has these values, that all other bits are 1, and its copy."""
        expected = ONES
        for name, value in values.items():
            field = self.fields(kind)[name]
            low = value & (1 << field.width) - 1
            expected = expected & ~field.mask | low << field.shift
        assert self.number(kind, row) == expected
        if kind in self.memory:
            assert self.copy(kind, row) == expected


@pytest.fixture
def contexts(rig: Rig) -> Contexts:
    return Contexts(rig)


def test_an_egress_context_has_its_indices(rig: Rig, contexts: Contexts) -> None:
    driver = TxDriver(rig.host, number=80, entries=1023)
    for count in (3, 600, 500):
        driver.post(*[inline(ethernet(b"x" * 10))] * count)
        while driver.cidx != driver.pidx:
            rig.run()
        contexts.check(ContextType.EGRESS, 80, PIDX=driver.pidx, CIDX=driver.cidx)
    driver.post(bytes(64))
    rig.run()
    contexts.check(ContextType.EGRESS, 80, PIDX=driver.pidx, CIDX=driver.cidx)
    assert driver.cidx != driver.pidx
    assert contexts.number(ContextType.EGRESS, 81) == ONES


def test_ingress_and_free_list_contexts_have_their_state(rig: Rig, contexts: Contexts) -> None:
    driver = RxDriver(rig.host, number=33, free_list=64, entries=5, size=4096)
    rig.c.egress[64].flm = 9
    driver.post(3)
    driver.gts(timer=1, count=True)
    rig.run()
    contexts.check(
        ContextType.INGRESS, 33, PIDX=0, CIDX=0, Generation=1, InterruptArmed=1,
        SEInterruptArmed=1, RxIntCounter=0, TimerPending=0,
    )  # fmt: skip
    for _ in range(3):
        rig.receive(ethernet(b"x" * 1000))
    rig.c.egress[64].halted = 0
    rig.run()
    flm = {"PIDX": 3, "CIDX": 0, "PackOffset": rig.c.egress[64].offset}
    contexts.check(ContextType.FLM, 9, **flm)
    assert flm["PackOffset"]
    driver.gts(len(driver.poll()))
    for _ in range(4):
        rig.receive(ethernet(b"x" * 1000))
    rig.run()
    contexts.check(
        ContextType.INGRESS, 33, PIDX=2, CIDX=3, Generation=0, InterruptArmed=0,
        SEInterruptArmed=0, RxIntCounter=4, TimerPending=0,
    )  # fmt: skip


def test_a_running_holdoff_timer_is_shown(rig: Rig, contexts: Contexts) -> None:
    driver = RxDriver(rig.host, number=33, free_list=64)
    driver.post(1)
    driver.gts(timer=5)
    rig.run()
    rig.receive(ethernet(b"x" * 100))
    rig.run()
    pending = contexts.fields(ContextType.INGRESS)["TimerPending"]
    assert pending.get(contexts.number(ContextType.INGRESS, 33)) == 1
    rig.run(1_000_000)
    assert pending.get(contexts.number(ContextType.INGRESS, 33)) == 0


def test_stopping_a_function_clears_its_contexts_and_no_others(
    rig: Rig, contexts: Contexts
) -> None:
    RxDriver(rig.host, number=33, free_list=64)
    rig.c.egress[64].flm = 9
    TxDriver(rig.host, number=80)
    other = TxDriver(rig.host, number=81)
    rig.c.egress[81].pf = 5
    lib.engine_stop(rig.c, 4)
    gone = [
        (ContextType.INGRESS, 33), (ContextType.EGRESS, 64), (ContextType.FLM, 9),
        (ContextType.EGRESS, 80),
    ]  # fmt: skip
    for kind, row in gone:
        assert contexts.number(kind, row) == 0
        assert kind not in contexts.memory or contexts.copy(kind, row) == 0
    assert contexts.number(ContextType.EGRESS, 81) == ONES
    assert rig.c.egress[80].kind == rig.c.ingress[33].entries == 0
    other.post(inline(ethernet(b"x" * 60)))
    rig.run()
    assert other.cidx == other.pidx
    lib.engine_stop(rig.c, -1)
    assert contexts.number(ContextType.EGRESS, 81) == 0


def test_without_tables_nothing_is_shown(rig: Rig) -> None:
    assert rig.c.contexts == ffi.NULL
    driver = TxDriver(rig.host)
    driver.post(inline(ethernet(b"x" * 60)))
    rig.run()
    lib.engine_stop(rig.c, -1)
