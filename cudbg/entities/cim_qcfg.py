"""CIM_QCFG: how the queues between the chip's processor and its blocks are laid out and filled."""

from __future__ import annotations

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import LittleStruct, sizeof, u8, u16, u32, u32s
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Table, Value
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.hw.indirect import cim_read
from vmcoredd.hw.io import Cell, Io, Read, Write

_INBOUND = ("TP0", "TP1", "ULP", "SGE0", "SGE1", "NC-SI")
_OUTBOUND = ("ULP0", "ULP1", "ULP2", "ULP3", "SGE", "NC-SI", "SGE0-RX", "SGE1-RX")
_QUEUES = len(_INBOUND) + len(_OUTBOUND)
_UNIT = 256  # bytes; base and size count these
_THRESHOLD_UNIT = 8


class Layout(LittleStruct):
    """struct cudbg_cim_qcfg: sizes and bases in bytes, inbound queues first."""

    _fields_ = (
        ("chip", u8),
        ("base", u16 * _QUEUES),
        ("size", u16 * _QUEUES),
        ("thres", u16 * len(_INBOUND)),
        ("obq_wr", u32 * (2 * len(_OUTBOUND))),
        ("stat", u32 * (4 * _QUEUES)),
    )


@entity(5, "CIM_QCFG")
class CimQcfg(Entity):
    """cudbg_collect_cim_qcfg()."""

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area = ctx.area(sizeof(Layout))
        layout = Layout.from_buffer(area)
        layout.chip = ctx.device.code
        pointers = area[Layout.stat.offset :]
        cim_read(io, chip, [(chip.r.UP_IBQ_0_RDADDR, 4 * _QUEUES)], pointers)
        written = area[Layout.obq_wr.offset : Layout.stat.offset]
        cim_read(io, chip, [(chip.r.UP_OBQ_0_REALADDR, 2 * len(_OUTBOUND))], written)
        words = _read_configuration(io, chip)  # t4_read_cimq_cfg()
        ctrl = chip.r.CIM_QUEUE_CONFIG_CTRL
        layout.base = [ctrl.get(word, "QueBase") * _UNIT for word in words]
        layout.size = [ctrl.get(word, "QueSize") * _UNIT for word in words]
        layout.thres = [
            ctrl.get(word, "QueFullThrsh") * _THRESHOLD_UNIT for word in words[: len(_INBOUND)]
        ]

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(Layout, blob)
        columns = [Column("queue"), *(Column(name, "d") for name in _COLUMNS)]
        inbound = Table("inbound queues", columns, [_inbound(layout, i) for i in range(6)])
        outbound = Table("outbound queues", columns, [_outbound(layout, i) for i in range(8)])
        return Decoded([inbound, outbound])


def _read_configuration(io: Io, chip: Chip) -> tuple[int, ...]:
    select = chip.r.CIM_QUEUE_CONFIG_REF
    rows = [select.of(IBQSelect=1, QueNumSelect=i) for i in range(len(_INBOUND))]
    rows += [select.of(OBQSelect=1, QueNumSelect=i) for i in range(len(_OUTBOUND))]
    return u32s(io.run([Write(select, Cell()), Read(chip.r.CIM_QUEUE_CONFIG_CTRL)], rows))


_COLUMNS = ("base", "size", "threshold", "read", "write", "packets begun", "ended", "free bytes")


def _inbound(layout: Layout, queue: int) -> list[Value]:
    read, write, free, packets = layout.stat[4 * queue : 4 * queue + 4]
    shape = [layout.base[queue], layout.size[queue], layout.thres[queue]]
    return [_INBOUND[queue], *shape, read & 0x1FFF, write & 0x1FFF, *_filling(free, packets)]


def _outbound(layout: Layout, queue: int) -> list[Value]:
    i = len(_INBOUND) + queue
    read, _, free, packets = layout.stat[4 * i : 4 * i + 4]
    write = layout.obq_wr[2 * queue] - layout.base[i]
    shape = [layout.base[i], layout.size[i], None]
    return [_OUTBOUND[queue], *shape, read & 0x3FFF, write, *_filling(free, packets)]


def _filling(free: int, packets: int) -> list[int]:
    """Packets begun and ended, free bytes (QUESOPCNT, QUEEOPCNT, QUEREMFLITS: t4_regs.h)."""
    return [packets & 0xFFF, packets >> 16 & 0xFFF, (free & 0x7FF) * 16]
