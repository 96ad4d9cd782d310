"""Real adapters under a kernel of Debian's, as it is: what it forbids, and a driver that comes and
goes. `make test-long` only: the driver takes minutes to load."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from real_machine import DRIVER, STEP, Machine, Slot, booted
from stock import KERNEL

from vmcoredd.diagnosis import diagnose
from vmcoredd.qemu.prepare import prepare
from vmcoredd.qemu.program import address

pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(
        os.environ.get("VMCOREDD_THOROUGH") != "1",
        reason="takes minutes: VMCOREDD_THOROUGH=1, make test-long",
    ),
]

CARD = Slot(address(0, behind_port=True), "t62100-cr", scene="fresh")
LOCKDOWN = "/sys/kernel/security"


@pytest.fixture(scope="module", params=["", "iomem=relaxed"], ids=["strict", "relaxed"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, progress: Any
) -> Iterator[Machine]:
    """A guest whose driver is loaded, with and without the right to map what it uses."""
    folder = tmp_path_factory.mktemp("stock-real")
    prepared = prepare(KERNEL, progress)
    with booted(prepared, [CARD], folder, progress, arguments=request.param) as made:
        made.guest.run("load-driver --plain", DRIVER)
        made.relaxed = bool(request.param)
        yield made


def test_a_bound_adapter_is_refused_with_what_works_instead(machine: Machine) -> None:
    said = machine.refused("--pci", CARD.address)
    assert "bound to cxgb4" in said
    assert "ethtool -w eth" in said


def test_who_insists_gets_a_dump_if_the_kernel_lets_him(machine: Machine) -> None:
    words = ("--pci", CARD.address, "--yes-while-in-use")
    if not machine.relaxed:
        assert "boot with iomem=relaxed" in machine.refused(*words)
        return
    dump = machine.dump("in-use", *words)
    assert len([one for one in dump.entities if one.good]) > 45
    assert "cxgb4" in machine.guest.run(f"readlink {machine.sys(CARD, 'driver')}", STEP).output
    machine.guest.run("ip link set eth0 up", DRIVER)


def test_an_unbound_adapter_is_dumped_with_and_without_its_firmware(machine: Machine) -> None:
    unbind = f"echo {CARD.address} >{machine.sys(CARD, 'driver/unbind')}"
    machine.guest.run(unbind, STEP)
    without = machine.dump("unbound", "--pci", CARD.address)
    attached = machine.dump("attached", "--pci", CARD.address, "--attach")
    for dump in (without, attached):
        assert diagnose(dump).alarming == ()


def test_a_locked_down_kernel_is_refused(machine: Machine) -> None:
    """The last test of a guest: nothing lifts a lockdown."""
    machine.guest.run(f"mount -t securityfs securityfs {LOCKDOWN}", STEP)
    machine.guest.run(f"echo integrity >{LOCKDOWN}/lockdown", STEP)
    assert "the kernel is locked down (integrity)" in machine.refused("--pci", CARD.address)
    machine.guest.run(f"umount {LOCKDOWN}", STEP)
    assert "lockdown, or a missing capability" in machine.refused("--pci", CARD.address)
