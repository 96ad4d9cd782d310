"""CIM_IBQ_* and CIM_OBQ_*: what stands in the queues to and from the embedded processor."""

from __future__ import annotations

from vmcoredd.chip import Chip, Register
from vmcoredd.chip.cim import INBOUND_WORDS, QUEUE_UNIT_BYTES
from vmcoredd.chip.layout import WORD_BYTES, u32s
from vmcoredd.cudbg import status
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Lazy, Table
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Status
from vmcoredd.hw.io import Each, Io, Op, Poll, Read, Write

_ROW_WORDS = 4
_INBOUND_ATTEMPTS = 1_000_000
_OUTBOUND_ATTEMPTS = 2


class Queue(Entity):
    """A queue's memory, read word by word."""

    queue: int

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        self.need_records(blob, QUEUE_UNIT_BYTES)
        words = u32s(blob[0 : len(blob)])
        columns = [
            Column("offset", "x4"),
            *(Column(f"+{4 * i:x}", "x8") for i in range(_ROW_WORDS)),
        ]
        rows = Lazy(
            lambda: ([4 * i, *words[i : i + _ROW_WORDS]] for i in range(0, len(words), _ROW_WORDS))
        )
        return Decoded([Table("queue memory", columns, rows)])


@entity(6, "CIM_IBQ_TP0", queue=0)
@entity(7, "CIM_IBQ_TP1", queue=1)
@entity(8, "CIM_IBQ_ULP", queue=2)
@entity(9, "CIM_IBQ_SGE0", queue=3)
@entity(10, "CIM_IBQ_SGE1", queue=4)
@entity(11, "CIM_IBQ_NCSI", queue=5)
class Inbound(Queue):
    """cudbg_read_cim_ibq()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(INBOUND_WORDS * WORD_BYTES), chip.r
        config = r.CIM_IBQ_DBG_CFG
        address = config.field("IbqDbgAddr").put(self.queue * INBOUND_WORDS)
        requests = Each(address | config.of(IbqDbgEn=1), 1 << config.field("IbqDbgAddr").shift)
        busy = Poll(config, config.mask("IbqDbgBusy"), 0, _INBOUND_ATTEMPTS, delay_us=1)
        _read(io, config, requests, busy, r.CIM_IBQ_DBG_DATA, area)

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        return super().decode(self.need(blob, INBOUND_WORDS * WORD_BYTES), chip)


@entity(12, "CIM_OBQ_ULP0", queue=0)
@entity(13, "CIM_OBQ_ULP1", queue=1)
@entity(14, "CIM_OBQ_ULP2", queue=2)
@entity(15, "CIM_OBQ_ULP3", queue=3)
@entity(16, "CIM_OBQ_SGE", queue=4)
@entity(17, "CIM_OBQ_NCSI", queue=5)
@entity(47, "CIM_OBQ_RXQ0", queue=6)
@entity(48, "CIM_OBQ_RXQ1", queue=7)
class Outbound(Queue):
    """cudbg_read_cim_obq(): the configuration is read for the size, and again for the place."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        size, _ = self._extent(io, chip)
        area, r = ctx.area(size), chip.r
        size, base = self._extent(io, chip)
        config = r.CIM_OBQ_DBG_CFG
        address = config.field("ObqDbgAddr").put(base // WORD_BYTES)
        requests = Each(address | config.of(ObqDbgEn=1), 1 << config.field("ObqDbgAddr").shift)
        busy = Poll(config, config.mask("ObqDbgBusy"), 0, _OUTBOUND_ATTEMPTS, delay_us=1)
        _read(io, config, requests, busy, r.CIM_OBQ_DBG_DATA, area[:size])
        if not size:
            raise Status(status.SYSTEM_ERROR, sys_err=status.SYSTEM_ERROR)

    def _extent(self, io: Io, chip: Chip) -> tuple[int, int]:
        """Size and base of the queue in bytes."""
        ref, ctrl = chip.r.CIM_QUEUE_CONFIG_REF, chip.r.CIM_QUEUE_CONFIG_CTRL
        io.write(ref, ref.of(OBQSelect=1, QueNumSelect=self.queue))
        word = io.read(ctrl)
        size, base = ctrl.get(word, "QueSize"), ctrl.get(word, "QueBase")
        return size * QUEUE_UNIT_BYTES, base * QUEUE_UNIT_BYTES


def _read(
    io: Io, config: Register, requests: Each, busy: Poll, data: Register, out: memoryview
) -> None:
    """A request for each word, then none; after a failure the last request stays."""
    ops: list[Op] = [Write(config, requests), busy, Read(data)]
    io.run(ops, len(out) // WORD_BYTES, out)
    io.write(config, 0)
