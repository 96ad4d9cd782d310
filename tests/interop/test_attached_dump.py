"""What our collectors ask firmware that runs: the same bytes as the kernel's own `ethtool -w`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.interop.kernel_driver.build import build
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness
from tests.interop.kernel_driver.source import cache, kernel_source
from vmcoredd import cudbg, emu
from vmcoredd.chip.firmware import Dev, Params, param
from vmcoredd.cudbg.collection import collect
from vmcoredd.cudbg.driver_state import ASKED, TidLayout
from vmcoredd.driver.mailbox import Mailbox
from vmcoredd.driver.transports import Inproc
from vmcoredd.hw.device import AdapterFlag, Device

pytestmark = pytest.mark.interop

SMALL = {"edc0": 2, "edc1": 2, "mc0": 1}
DRIVERS_OWN = {"MBOX_LOG", "QDESC", "TID_INFO", "DEV_LOG"}
"""What the driver has in the host; and the firmware's log, which has its commands before."""

LEFT_BY_SIZING = {"CIM_QUEUE_CONFIG_REF", "CIM_QUEUE_CONFIG_CTRL"}
"""`ethtool -W` computes the dump's size before, and leaves in these registers which queue it asked
the size of last."""


@pytest.fixture(scope="module")
def library(progress: Any) -> Path:
    """The driver's code, built for user space."""
    return build(kernel_source(progress=progress), cache(), progress)


@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_a_dump_through_firmware_equals_the_kernels(library: Path, name: str) -> None:
    card = emu.Card.load(name, scene="fresh", memory=SMALL)
    with Harness(library, emulated(card)) as kernel:
        assert kernel.bring_up() == 0
        state = card.snapshot()
        theirs = cudbg.Dump(bytes(kernel.ethtool_dump()))
        card.restore(state)
        ours = _ours(card)
    common = [one for one in theirs.entities if one.name not in DRIVERS_OWN]
    assert len(common) > 40
    mine = {one.name: one for one in ours.entities}
    for one in common:
        assert (mine[one.name].code, mine[one.name].sys_err) == (one.code, one.sys_err), one.name
    good = [one.name for one in common if one.good]
    assert [name for name in good if ours.raw(name) != theirs.raw(name)] == ["REG_DUMP"]
    assert _registers_that_differ(card, ours, theirs) == LEFT_BY_SIZING
    assert _asked(ours) == _asked(theirs)


def _registers_that_differ(card: emu.Card, *dumps: cudbg.Dump) -> set[str]:
    words = (memoryview(bytes(dump.raw("REG_DUMP"))).cast("I") for dump in dumps)
    differ = (i for i, pair in enumerate(zip(*words, strict=True)) if len({*pair}) > 1)
    return {str(card.chip.r.at(4 * i)) for i in differ}


def _asked(dump: cudbg.Dump) -> list[int]:
    """What a driver asks for TID_INFO."""
    told = TidLayout.from_bytes(bytes(dump.raw("TID_INFO")))
    return [getattr(told, member) for member in ASKED]


def _ours(card: emu.Card) -> cudbg.Dump:
    """Our dump of a card whose driver lives, as if this were that."""
    transport = Inproc(card)
    io = transport.io()
    revision = card.chip.r.PL_REV.get(io.read(card.chip.r.PL_REV), "Rev")
    mailbox = Mailbox(io, card.chip, 4, lambda seconds: None, observer=True)
    cclk = mailbox.call(Params.reading([param(Dev.CCLK)], pfn=4)).param[0].val
    device = Device(card.chip, revision, attached=True, cclk_khz=cclk, flags=AdapterFlag.FW_OK)
    buffer = bytearray(cudbg.DUMP_SIZE)
    collect(io, device, memoryview(buffer), firmware=mailbox.call)
    return cudbg.Dump(buffer)
