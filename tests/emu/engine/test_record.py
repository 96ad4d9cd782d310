"""What the packet engine does is in a trace, as often as it counts it."""

from __future__ import annotations

import errno
from collections import Counter

from frames import ethernet
from ramhost import BASE, SIZE
from rxdriver import Rig
from txdriver import Outlet, TxDriver, inline, listed

from vmcoredd.trace.records import Assembler, Kind, Record, Source
from vmcoredd.trace.ring import Ring


def taken(ring: Ring) -> list[Record]:
    """The records in a ring."""
    whole = Assembler()
    return [record for piece in ring.take() for record in whole.add(bytes(piece))]


def test_doorbells_dma_frames_and_interrupts_are_in_the_trace(rig: Rig) -> None:
    ring, outlet, driver = Ring(), Outlet(rig), TxDriver(rig.host)
    before = rig.c.counts.dma_reads, rig.c.counts.dma_writes
    rig.core.record(ring)
    frame = ethernet(bytes(range(200)))
    driver.post(inline(frame), listed(driver, [frame[:50], frame[50:]]))
    rig.run()
    rig.engine.interrupt(3)
    rig.core.record(None)
    assert outlet.frames() == [frame, frame]
    records = taken(ring)
    kinds = Counter(Kind(record.kind) for record in records)
    after = rig.c.counts.dma_reads, rig.c.counts.dma_writes
    assert (kinds[Kind.DMA_READ], kinds[Kind.DMA_WRITE]) == (
        after[0] - before[0],
        after[1] - before[1],
    )
    assert kinds[Kind.FRAME_SENT] == 2
    sent = next(record for record in records if record.kind == Kind.FRAME_SENT)
    assert (sent.length, sent.data, sent.detail) == (len(frame), frame[:64], 0)
    assert kinds[Kind.INTERRUPT] == 1
    assert {record.source for record in records} == {Source.ENGINE}


def test_dma_that_is_refused_has_its_error_and_no_bytes(rig: Rig) -> None:
    ring, driver = Ring(), TxDriver(rig.host)
    driver.post(inline(ethernet(bytes(60))))
    rig.c.egress[driver.number].address = BASE + SIZE
    rig.core.record(ring)
    rig.run()
    read, trouble = taken(ring)
    assert (read.kind, read.error, read.data) == (Kind.DMA_READ, errno.ENOENT, b"")
    assert (trouble.kind, trouble.error, trouble.value) == (
        Kind.TROUBLE,
        errno.ENOENT,
        read.address,
    )
