"""CIM_QCFG against a card of plain memory."""

from __future__ import annotations

import pytest
from ramcard import RamCard

from vmcoredd import cudbg
from vmcoredd.chip import T6
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.hw.io import Counts

ENTITY = entities()["CIM_QCFG"]


def collected(card: RamCard) -> tuple[cudbg.Collected, bytes]:
    """The entity's report and its raw bytes."""
    buffer = bytearray(8192)
    report = cudbg.collect(
        card.io(), cudbg.Device(T6, 0), memoryview(buffer), entities=["CIM_QCFG"], compress="none"
    )
    return report.entities[0], bytes(buffer[3800:4160])


def test_cim_qcfg_scales_base_size_and_threshold_to_bytes() -> None:
    card = RamCard()
    card.put(T6.r.CIM_QUEUE_CONFIG_CTRL, 0x3F << 24 | 0x11 << 16 | 0x1FF)
    entity, blob = collected(card)
    assert entity.good
    assert blob[0] == 0x60
    assert int.from_bytes(blob[2:4], "little") == 0x11 * 256
    assert int.from_bytes(blob[30:32], "little") == 0x3F * 256
    assert int.from_bytes(blob[58:60], "little") == 0x1FF * 8


def test_cim_qcfg_makes_the_kernels_246_accesses() -> None:
    entity, _ = collected(RamCard())
    assert entity.counts == Counts(r32=160, w32=86)


def test_cim_qcfg_leaves_the_port_alone_when_it_is_busy() -> None:
    card = RamCard()
    ctrl = T6.r.CIM_HOST_ACC_CTRL
    card.put(ctrl, ctrl.mask("HostBusy"))
    entity, _ = collected(card)
    assert (entity.code, entity.sys_err) == (-29, -16)
    assert card.log == [("r", int(ctrl), 4)]


def test_cim_qcfg_refuses_a_short_blob() -> None:
    with pytest.raises(DumpFormatError, match="CIM_QCFG: need 360 bytes, have 359"):
        ENTITY.decode(bytes(359), T6)
