"""Real adapters: in a guest, emulated cards are functions on a PCI bus, which our driver dumps
without the kernel's: through sysfs, and through VFIO.

One guest serves all tests here. Each dump is compared with that of an equal card over its socket,
entity by entity; `make test-long` also has the guest's crash kernel dump an equal one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crashes import our_dump
from real_machine import BOOT, COMMAND, DRIVER, DUMP, STEP, Machine, Slot, booted

from vmcoredd import cudbg, vmcore
from vmcoredd.chip.pci import CAP_AT, EXP_DEVCTL2, Cap, PciCommand
from vmcoredd.cudbg.compare import Difference, compare
from vmcoredd.cudbg.entities.pci import config_offsets
from vmcoredd.qemu.own_python import command as vmcoredd
from vmcoredd.qemu.own_python import python
from vmcoredd.qemu.prepare import Prepared
from vmcoredd.qemu.program import address

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
pytestmark = [pytest.mark.guest, pytest.mark.interop]
thorough = pytest.mark.skipif(not THOROUGH, reason="takes minutes: VMCOREDD_THOROUGH=1")

WEDGED = ("firmware-crash", "ecc-uncorrectable-edc0")
"""What is broken in the card whose state has to survive VFIO."""
CONFIGURED = {COMMAND, CAP_AT[Cap.EXP] + EXP_DEVCTL2}
"""The words of configuration space that a driver of its own sets, and ours of real ones does not:
bus mastering, and the completion time-out."""
VFIO = "vfio-pci"


T6 = Slot(address(0), "t62100-cr")
T5 = Slot(address(1), "t520-cr")
SICK = Slot(address(2), "t62100-cr", WEDGED)
LIVE = Slot(address(3), "t62100-cr", scene="fresh")
FOR_KERNEL = Slot(address(4), "t62100-cr")
"""What only the guest's crash kernel dumps."""
SLOTS = (T6, T5, SICK, LIVE, *([FOR_KERNEL] if THOROUGH else []))


@pytest.fixture(scope="module")
def machine(
    prepared: Prepared, tmp_path_factory: pytest.TempPathFactory, progress: Any
) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("real")
    arguments = "vfio_pci.disable_idle_d3=1 vfio.enable_unsafe_noiommu_mode=1"
    crashkernel = "256M" if THOROUGH else ""
    with booted(
        prepared, SLOTS, folder, progress, arguments=arguments, crashkernel=crashkernel
    ) as made:
        yield made


def sockets(slot: Slot, folder: Path) -> cudbg.Dump:
    """Our driver's dump, over its socket, of a card equal to that of a slot."""
    folder.mkdir()
    return our_dump(slot.load(), folder)


def assert_equal(real: cudbg.Dump, other: cudbg.Dump, slot: Slot) -> None:
    """Compares two dumps entity by entity. In PCIE_CONFIG, what a driver configures may differ."""
    found = list(compare(other, real))
    assert len(found) == len(other.entities) == len(real.entities)
    assert {item.name for item in found if isinstance(item, Difference)} <= {"PCIE_CONFIG"}
    offsets = config_offsets(slot.load().chip)
    words = [memoryview(bytes(one.raw("PCIE_CONFIG"))).cast("I") for one in (real, other)]
    differ = {at for at, one, two in zip(offsets, *words, strict=False) if one != two}
    assert differ <= CONFIGURED, differ


def test_the_guests_adapters_are_listed_with_what_can_be_done(machine: Machine) -> None:
    said = machine.guest.run(vmcoredd("cards", "--present", "--json"), DUMP).output
    present = json.loads(said)["present"]
    assert [one["address"] for one in present] == [slot.address for slot in SLOTS]
    assert [one["product"] for one in present][:2] == ["T62100-CR", "T520-CR"]
    for one in present:
        assert one["driver"] is None
        assert [way["possible"] for way in one["ways"]] == [True, False]


def test_dumps_through_sysfs_equal_those_over_the_socket_and_decoding_is_put_back(
    machine: Machine, tmp_path: Path
) -> None:
    without = machine.command(T5) & ~(PciCommand.MEMORY | PciCommand.MASTER)
    machine.set_command(T5, without)
    before = {slot: machine.command(slot) for slot in (T6, T5)}
    assert before[T6] & PciCommand.MEMORY
    assert not before[T5] & PciCommand.MEMORY
    enabled = {slot: machine.read(slot, "enable") for slot in (T6, T5)}
    ours = machine.dumps("sysfs", "--pci", T6.address, "--pci", T5.address)
    assert {slot: machine.command(slot) for slot in (T6, T5)} == before
    assert {slot: machine.read(slot, "enable") for slot in (T6, T5)} == enabled
    with vmcore.Reader(machine.files["sysfs"]) as reader:
        names = [note.name for note in reader.device_dumps]
    assert names == [f"cxgb4_{T6.address}", f"cxgb4_{T5.address}"]
    for number, (slot, dump) in enumerate(zip((T6, T5), ours, strict=True)):
        assert_equal(dump, sockets(slot, tmp_path / str(number)), slot)


def test_each_access_was_one_that_an_adapter_accepts(machine: Machine) -> None:
    """An access of another size, or one that is not aligned, is a guest's error."""
    totals = machine.cards[T6].access_log.totals
    assert {kind: n for kind, n in totals.items() if kind.is_guest_error} == {}


def test_a_dump_through_firmware_that_runs_has_what_a_running_drivers_has(machine: Machine) -> None:
    before = machine.cards[LIVE].read(machine.cards[LIVE].chip.r.PCIE_FW)
    dump = machine.dump("attached", "--pci", LIVE.address, "--attach")
    assert dump.decode("TID_INFO").json()[0]["table"] == "ranges of ids"
    commands = {row["command"] for row in dump.decode("MBOX_LOG").json()[0]["rows"]}
    assert not commands & {"RESET", "INITIALIZE"}
    assert machine.cards[LIVE].read(machine.cards[LIVE].chip.r.PCIE_FW) == before


def test_a_wedged_adapters_state_survives_vfio_with_its_resets_off(
    machine: Machine, tmp_path: Path
) -> None:
    bind(machine, SICK)
    methods = machine.read(SICK, "reset_method")
    assert "flr" in methods
    said = machine.guest.run(vmcoredd("cards", "--present", "--json"), DUMP).output
    (ways,) = [one["ways"] for one in json.loads(said)["present"] if one["address"] == SICK.address]
    assert [(way["via"], way["possible"]) for way in ways] == [("sysfs", False), ("vfio", True)]
    dump = machine.dump("vfio", "--pci", SICK.address, "--via", "vfio")
    assert machine.read(SICK, "reset_method") == methods
    assert_equal(dump, sockets(SICK, tmp_path / "twin"), SICK)
    assert "--via vfio" in machine.refused("--pci", SICK.address)


OPENED = """
import os
from contextlib import nullcontext
from vmcoredd.driver.real import vfio
vfio.resets_off = lambda function: nullcontext()
vfio.Vfio("{}").close()
"""
"""What any other user of VFIO does: it leaves the resets on."""


def test_with_its_resets_on_the_same_adapter_loses_its_state(
    machine: Machine, tmp_path: Path
) -> None:
    machine.guest.run(python("-c", OPENED.format(SICK.address)), DUMP)
    dump = machine.dump("reset", "--pci", SICK.address, "--via", "vfio")
    twin = sockets(SICK, tmp_path / "twin")
    differ = {item.name for item in compare(twin, dump) if isinstance(item, Difference)}
    assert differ - {"PCIE_CONFIG"}, "a reset changed nothing: the test before proves nothing"


def bind(machine: Machine, slot: Slot) -> None:
    """Binds a function to vfio-pci, as the documentation says."""
    override = machine.sys(slot, "driver_override")
    probe = "/sys/bus/pci/drivers_probe"
    machine.guest.run(f"echo {VFIO} >{override}; echo {slot.address} >{probe}", STEP)
    driver = machine.guest.run(f"readlink {machine.sys(slot, 'driver')}", STEP).output
    assert driver.strip().endswith(VFIO)


@thorough
def test_a_dump_through_sysfs_equals_the_crash_kernels(machine: Machine) -> None:
    """The last test: the guest crashes."""
    with vmcore.Reader(machine.files["sysfs"]) as reader:
        real = cudbg.Dump(bytes(reader.payload(reader.device_dumps[0].index)))
    guest = machine.guest
    guest.run("arm-crash-kernel", STEP)
    guest.panic()
    guest.wait_for_kernel("crash", BOOT)
    guest.run("load-driver", DRIVER * len(SLOTS), check=False)
    guest.run("save-vmcore --notes-only /share/vmcore", DRIVER)
    with vmcore.Reader(guest.share / "vmcore") as reader:
        (note,) = [
            note for note in reader.device_dumps if note.name == f"cxgb4_{FOR_KERNEL.address}"
        ]
        assert_equal(real, cudbg.Dump(bytes(reader.payload(note.index))), FOR_KERNEL)
