"""Real adapters: in a guest, emulated cards are functions on a PCI bus, which our driver dumps
without the kernel's: through sysfs, through firmware that runs, and through VFIO.

One guest serves all tests here, with a kernel of Debian's and an IOMMU. Each dump is compared with
that of an equal card over its socket, entity by entity; `make test-long` also has the crash kernel
of another guest dump an equal one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from crashes import our_dump
from real_machine import (
    BOOT,
    DRIVER,
    DUMP,
    STEP,
    WEDGED,
    Slot,
    assert_equal,
    booted,
    differing,
)
from stock import KERNEL

from vmcoredd import cudbg, vmcore
from vmcoredd.chip.firmware import Op
from vmcoredd.chip.pci import PciCommand
from vmcoredd.emu.access_log import LogKind
from vmcoredd.qemu.own_python import python
from vmcoredd.qemu.prepare import Prepared, prepare
from vmcoredd.qemu.program import address

pytestmark = [pytest.mark.guest, pytest.mark.interop]
thorough = pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1", reason="takes minutes: VMCOREDD_THOROUGH=1"
)

SCRIPT = Path(__file__).parents[1] / "support" / "real_in_guest.py"
SLOTS = {
    "T6": Slot(address(0, behind_port=True), "t62100-cr"),
    "T5": Slot(address(1, behind_port=True), "t520-cr"),
    "live": Slot(address(2, behind_port=True), "t62100-cr", scene="fresh"),
    "sick": Slot(address(3, behind_port=True), "t62100-cr", WEDGED),
    "reset": Slot(address(4, behind_port=True), "t62100-cr", WEDGED),
}


Twins = Callable[[str], cudbg.Dump]


@dataclass(frozen=True)
class Seen:
    """The dumps that our driver made in the guest, what it saw there, and the cards' errors."""

    folder: Path
    facts: dict[str, Any]
    errors: dict[str, dict[LogKind, int]]

    def dump(self, name: str) -> cudbg.Dump:
        return cudbg.Dump((self.folder / name).read_bytes())


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, progress: Any) -> Seen:
    folder = tmp_path_factory.mktemp("real")
    prepared, slots = prepare(KERNEL, progress), list(SLOTS.values())
    with booted(prepared, slots, folder, progress, iommu=True) as machine:
        guest = machine.guest
        guest.run("modprobe vfio-pci disable_idle_d3=1", STEP)
        plan = json.dumps({role: slot.address for role, slot in SLOTS.items()})
        guest.run(python(SCRIPT, "/share", plan), DUMP)
        for name in (*SLOTS, "facts.json"):
            shutil.move(guest.share / name, folder / name)
        errors = {
            role: {kind: n for kind, n in card.access_log.totals.items() if kind.is_guest_error}
            for role, card in zip(SLOTS, machine.cards.values(), strict=True)
        }
    return Seen(folder, json.loads((folder / "facts.json").read_text()), errors)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Our driver's dump over its socket of a card equal to that of a slot, made once."""
    made: dict[str, cudbg.Dump] = {}

    def twin(role: str) -> cudbg.Dump:
        if role not in made:
            made[role] = our_dump(SLOTS[role].load(), tmp_path_factory.mktemp("twin"))
        return made[role]

    return twin


def test_the_guests_adapters_can_be_dumped_through_sysfs(seen: Seen) -> None:
    addresses = [slot.address for slot in SLOTS.values()]
    assert seen.facts["present"] == [{"address": one, "ways": ["sysfs"]} for one in addresses]


@pytest.mark.parametrize("role", ["T6", "T5"])
def test_a_dump_through_sysfs_equals_that_over_a_socket(
    seen: Seen, twins: Twins, role: str
) -> None:
    assert_equal(seen.dump(role), twins(role), SLOTS[role])
    assert seen.facts[role]["sent"] == []


def test_memory_decoding_is_put_back(seen: Seen) -> None:
    for role in ("T6", "T5"):
        assert seen.facts[role]["after"] == seen.facts[role]["before"], role
    assert seen.facts["T6"]["before"]["command"] & PciCommand.MEMORY
    assert not seen.facts["T5"]["before"]["command"] & PciCommand.MEMORY


def test_every_access_was_one_that_an_adapter_accepts(seen: Seen) -> None:
    """An access of another size, or one that is not aligned, is a guest's error."""
    assert seen.errors == {role: {} for role in SLOTS}


def test_a_dump_through_firmware_has_what_a_running_drivers_has(seen: Seen) -> None:
    dump = seen.dump("live")
    assert dump.decode("TID_INFO").json()[0]["table"] == "ranges of ids"
    assert not {Op.RESET, Op.INITIALIZE, Op.CAPS_CONFIG} & {*seen.facts["live"]["sent"]}
    assert {Op.PARAMS, Op.LDST, Op.BYE} & {*seen.facts["live"]["sent"]}


def test_a_wedged_adapters_state_survives_vfio_with_its_resets_off(
    seen: Seen, twins: Twins
) -> None:
    assert_equal(seen.dump("sick"), twins("sick"), SLOTS["sick"])
    facts = seen.facts["vfio"]
    assert "flr" in facts["before"]
    assert facts["after"] == facts["before"]
    assert facts["sent"] == []


def test_with_its_resets_on_an_equal_adapter_loses_its_state(seen: Seen, twins: Twins) -> None:
    differ = differing(seen.dump("reset"), twins("sick"))
    assert "REG_DUMP" in differ, "a reset changed nothing: the test before proves nothing"


def test_each_transport_refuses_what_is_bound_for_the_other(seen: Seen) -> None:
    assert "bound to no driver, not to vfio-pci" in seen.facts["vfio"]["early"]
    assert "use --via vfio" in seen.facts["vfio"]["sysfs"]


@thorough
def test_a_dump_through_sysfs_equals_the_crash_kernels(
    prepared: Prepared, tmp_path: Path, progress: Any
) -> None:
    slots = [Slot(address(number), "t62100-cr") for number in range(2)]
    with booted(prepared, slots, tmp_path, progress, crashkernel="256M") as machine:
        real = machine.dump("real", "--pci", slots[0].address)
        guest = machine.guest
        guest.run("arm-crash-kernel", STEP)
        guest.panic()
        guest.wait_for_kernel("crash", BOOT)
        guest.run("load-driver", DRIVER * len(slots), check=False)
        guest.run("save-vmcore --notes-only /share/vmcore", DRIVER)
        with vmcore.Reader(guest.share / "vmcore") as reader:
            (note,) = [
                note for note in reader.device_dumps if note.name == f"cxgb4_{slots[1].address}"
            ]
            assert_equal(real, cudbg.Dump(bytes(reader.payload(note.index))), slots[1])
