"""CIM_QCFG: how the queues between the chip's processor and its blocks are laid out and filled."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.cim import (
    INBOUND,
    OBQ_REAL_WORDS,
    OUTBOUND,
    QUEUE_UNIT_BYTES,
    STATUS_WORDS,
    THRESHOLD_UNIT,
)
from vmcoredd.chip.layout import LittleStruct, sizeof, u8, u16, u32, u32s
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.indirect import cim_read
from vmcoredd.hw.io import Cell, Io, Read, Write

_QUEUES = len(INBOUND) + len(OUTBOUND)


class Layout(LittleStruct):
    """struct cudbg_cim_qcfg: sizes and bases in bytes, inbound queues first."""

    _fields_ = (
        ("chip", u8),
        ("base", u16 * _QUEUES),
        ("size", u16 * _QUEUES),
        ("thres", u16 * len(INBOUND)),
        ("obq_wr", u32 * (OBQ_REAL_WORDS * len(OUTBOUND))),
        ("stat", u32 * (STATUS_WORDS * _QUEUES)),
    )


@entity(5, "CIM_QCFG")
class CimQcfg(Entity):
    """cudbg_collect_cim_qcfg()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(sizeof(Layout))
        layout = Layout.from_buffer(area)
        layout.chip = ctx.device.code
        pointers = area[Layout.stat.offset :]
        cim_read(io, chip, [(chip.r.UP_IBQ_0_RDADDR, STATUS_WORDS * _QUEUES)], pointers)
        written = area[Layout.obq_wr.offset : Layout.stat.offset]
        cim_read(io, chip, [(chip.r.UP_OBQ_0_REALADDR, OBQ_REAL_WORDS * len(OUTBOUND))], written)
        words = _read_configuration(io, chip)  # t4_read_cimq_cfg()
        ctrl = chip.r.CIM_QUEUE_CONFIG_CTRL
        layout.base = [ctrl.get(word, "QueBase") * QUEUE_UNIT_BYTES for word in words]
        layout.size = [ctrl.get(word, "QueSize") * QUEUE_UNIT_BYTES for word in words]
        layout.thres = [
            ctrl.get(word, "QueFullThrsh") * THRESHOLD_UNIT for word in words[: len(INBOUND)]
        ]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        columns = [Column("queue"), *(Column(name, "d") for name in _COLUMNS)]
        inbound = Table(
            "inbound queues", columns, [_inbound(layout, i) for i in range(len(INBOUND))]
        )
        outbound = Table(
            "outbound queues", columns, [_outbound(layout, i) for i in range(len(OUTBOUND))]
        )
        return Decoded([inbound, outbound])


def _read_configuration(io: Io, chip: Chip) -> tuple[int, ...]:
    select = chip.r.CIM_QUEUE_CONFIG_REF
    rows = [
        select.of(**{queue.select: 1}, QueNumSelect=queue.number) for queue in (*INBOUND, *OUTBOUND)
    ]
    return u32s(io.run([Write(select, Cell()), Read(chip.r.CIM_QUEUE_CONFIG_CTRL)], rows))


_COLUMNS = ("base", "size", "threshold", "read", "write", "packets begun", "ended", "free bytes")


def _inbound(layout: Layout, queue: int) -> list[Value]:
    read, write, free, packets = layout.stat[4 * queue : 4 * queue + 4]
    shape = [layout.base[queue], layout.size[queue], layout.thres[queue]]
    return [INBOUND[queue].name, *shape, read & 0x1FFF, write & 0x1FFF, *_filling(free, packets)]


def _outbound(layout: Layout, queue: int) -> list[Value]:
    i = len(INBOUND) + queue
    read, _, free, packets = layout.stat[4 * i : 4 * i + 4]
    write = layout.obq_wr[2 * queue] - layout.base[i]
    shape = [layout.base[i], layout.size[i], None]
    return [OUTBOUND[queue].name, *shape, read & 0x3FFF, write, *_filling(free, packets)]


def _filling(free: int, packets: int) -> list[int]:
    """Packets begun and ended, free bytes (QUESOPCNT, QUEEOPCNT, QUEREMFLITS: t4_regs.h)."""
    return [packets & 0xFFF, packets >> 16 & 0xFFF, (free & 0x7FF) * 16]
