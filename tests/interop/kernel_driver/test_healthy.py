"""A healthy card that the kernel's driver has used does not differ from healthy cards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness
from vmcoredd import cudbg, emu
from vmcoredd.cudbg.meaning import compare_with_healthy
from vmcoredd.raised import twins_of

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_what_the_kernels_driver_does_with_a_healthy_card_is_no_difference(
    library: Path, name: str
) -> None:
    card = emu.Card.load(name, 3, scene="fresh", memory={"mc0": 1})
    with Harness(library, emulated(card)) as running:
        assert running.bring_up() == 0
        dump = cudbg.Dump(memoryview(bytearray(running.ethtool_dump())))
    twins = twins_of(dump)
    told = compare_with_healthy(dump, twins.dumps, modelled=twins.model)
    assert [str(one.word) for one in told.registers] == []
    assert (told.rows, told.missing, told.damaged) == ([], [], [])
