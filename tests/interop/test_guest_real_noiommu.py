"""A real adapter through VFIO on a machine without an IOMMU, with a kernel that can do without:
what refusals tell to do is done, word for word. `make test-long` only: a kernel is built for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from crashes import our_dump
from real_machine import DUMP, WEDGED, Slot, assert_equal, booted, differing

from vmcoredd import cudbg
from vmcoredd.qemu.own_python import python
from vmcoredd.qemu.prepare import prepare
from vmcoredd.qemu.program import address

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="builds a kernel: VMCOREDD_THOROUGH=1, make test-long",
    ),
]

SCRIPT = Path(__file__).parents[1] / "support" / "real_in_guest.py"
KERNEL = "6.12"
"""That of our own which has VFIO without an IOMMU."""
SLOTS = {
    role: Slot(address(number), "t62100-cr", WEDGED)
    for number, role in enumerate(("bare", "reset"))
}


def test_a_wedged_adapters_state_survives_vfio_without_an_iommu(
    tmp_path: Path, progress: Any
) -> None:
    idle = "vfio-pci.disable_idle_d3=1"  # it is built in
    prepared, slots = prepare(KERNEL, progress), list(SLOTS.values())
    with booted(prepared, slots, tmp_path, progress, arguments=idle) as machine:
        plan = json.dumps({role: slot.address for role, slot in SLOTS.items()})
        machine.guest.run(python(SCRIPT, "/share", plan), DUMP)
        dumps = [cudbg.Dump((machine.guest.share / role).read_bytes()) for role in SLOTS]
        facts = json.loads((machine.guest.share / "facts.json").read_text())["bare"]
    assert "enable_unsafe_noiommu_mode" in facts["done"][0]
    assert facts["group"].startswith("noiommu-")
    assert "flr" in facts["before"]
    assert facts["after"] == facts["before"]
    assert facts["sent"] == []
    (tmp_path / "twin").mkdir()
    twin = our_dump(SLOTS["bare"].load(), tmp_path / "twin")
    assert len(dumps[0].entities) == len(twin.entities)
    assert_equal(dumps[0], twin, SLOTS["bare"])
    assert "REG_DUMP" in differing(dumps[1], twin), "a reset changed nothing: this proves nothing"
