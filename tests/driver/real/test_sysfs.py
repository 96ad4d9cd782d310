"""The sysfs transport on a made tree: accesses, what is put back, and each refusal with a remedy.

The real thing is in a guest: tests/interop/test_guest_real.py.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pcitree import ADDRESS, PciTree, configuration, words

from vmcoredd.chip.pci import WHOAMI, PmCap
from vmcoredd.driver.real.errors import NoSuchFunction, RealAdapterError, Refused
from vmcoredd.driver.real.sysfs import Sysfs
from vmcoredd.hw.errors import DeadDevice
from vmcoredd.hw.io import Each, Read, Write


@pytest.fixture
def tree(tmp_path: Path) -> PciTree:
    return PciTree(tmp_path / "sys")


def refused(tree: PciTree, address: str = ADDRESS, *, in_use: bool = False) -> RealAdapterError:
    """The refusal of a function, which says what to do."""
    with pytest.raises(RealAdapterError) as found:
        Sysfs(address, in_use=in_use, root=tree.root)
    assert found.value.remedy in str(found.value)
    return found.value


def test_registers_are_read_and_written_where_resource0_has_them(tree: PciTree) -> None:
    folder = tree.function()
    (folder / "resource0").write_bytes(bytes(range(256)) * 2048)
    transport = Sysfs(ADDRESS, root=tree.root)
    io = transport.io()
    assert io.read(0x1004) == 0x07060504
    assert io.read(0x1008, 8) == 0x0F0E0D0C0B0A0908
    io.write(0x2000, 0x11223344)
    io.write(0x2008, 0x1122334455667788, 8)
    io.run([Write(Each(0x3000, 8), Each(1))], rows=4)
    transport.close()
    assert words(folder / "resource0", 0x2000, 1) == (0x11223344,)
    assert words(folder / "resource0", 0x2008, 2) == (0x55667788, 0x11223344)
    assert words(folder / "resource0", 0x3000, 8)[::2] == (1, 2, 3, 4)


def test_configuration_space_is_the_file_config(tree: PciTree) -> None:
    folder = tree.function()
    transport = Sysfs(ADDRESS, root=tree.root)
    config = transport.io().config
    assert config.read(0) == 0x640D1425
    config.write(0x40, 0x12345678)
    assert transport.config_bytes == 4096
    transport.close()
    assert words(folder / "config", 0x40, 1) == (0x12345678,)


def test_a_word_outside_the_bar_reads_all_ones_and_is_not_written(tree: PciTree) -> None:
    folder = tree.function()
    transport = Sysfs(ADDRESS, root=tree.root)
    io = transport.io()
    size = (folder / "resource0").stat().st_size
    assert io.read_run(size - 4, 3) == bytes(4) + b"\xff" * 8
    assert io.read(size, 8) == (1 << 64) - 1
    io.write(size, 1)
    io.write(1 << 31, 1)
    assert io.read(0) == 0
    transport.close()


def test_a_mapping_that_goes_away_is_a_dead_device_and_no_signal(tree: PciTree) -> None:
    folder = tree.function()
    transport = Sysfs(ADDRESS, root=tree.root)
    io = transport.io()
    os.truncate(folder / "resource0", 0)
    with pytest.raises(DeadDevice, match="the device is gone"):
        io.run([Read(0x1000, 100)])
    with pytest.raises(DeadDevice):
        io.write(0x1000, 1)
    other = PciTree(tree.root.parent / "other")
    other.function()
    healthy = Sysfs(ADDRESS, root=other.root)
    assert healthy.io().read(WHOAMI) == 0
    healthy.close()
    transport.close()


def test_a_closed_transport_is_a_dead_device(tree: PciTree) -> None:
    tree.function()
    transport = Sysfs(ADDRESS, root=tree.root)
    io = transport.io()
    transport.close()
    with pytest.raises(DeadDevice):
        io.read(WHOAMI)


def test_nothing_is_enabled_where_memory_decoding_is_on(tree: PciTree) -> None:
    folder = tree.function()
    Sysfs(ADDRESS, root=tree.root).close()
    assert (folder / "enable").read_text() == "0\n"
    assert (folder / "config").read_bytes() == configuration(0x1425, 0x640D)


def test_decoding_that_the_kernel_does_not_switch_on_is_refused_and_put_back(tree: PciTree) -> None:
    folder = tree.function(decoding=False)  # a file named `enable` enables nothing
    assert "memory decoding stays off" in refused(tree).why
    assert (folder / "enable").read_text() == "0"
    assert (folder / "config").read_bytes() == configuration(0x1425, 0x640D, decoding=False)


def test_a_function_is_dumped_by_one_process_at_a_time(tree: PciTree) -> None:
    folder = tree.function()
    with (folder / "config").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert refused(tree).why == "another process dumps it"
    Sysfs(ADDRESS, root=tree.root).close()


def test_a_bound_function_is_refused_with_what_works_instead(tree: PciTree) -> None:
    folder = tree.function(driver="cxgb4", interface="eth7")
    found = refused(tree)
    assert isinstance(found, Refused)
    assert found.why.startswith("bound to cxgb4: the adapter's index registers and its mailbox")
    assert "ethtool -w eth7 data FILE" in found.remedy
    assert f"echo {ADDRESS} >{tree.root}/bus/pci/drivers/cxgb4/unbind" in found.remedy
    Sysfs(ADDRESS, in_use=True, root=tree.root).close()
    assert (folder / "config").read_bytes() == configuration(0x1425, 0x640D)


def test_a_driver_that_has_switched_decoding_off_keeps_it_off(tree: PciTree) -> None:
    tree.function(driver="cxgb4", decoding=False)
    assert "that is the business of cxgb4" in refused(tree, in_use=True).why


def test_a_function_of_vfio_pci_is_for_the_other_transport(tree: PciTree) -> None:
    tree.vfio()
    tree.function(driver="vfio-pci")
    assert "--via vfio" in refused(tree).remedy


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"vendor": 0x8086, "device": 0x1521}, "the device is 0x8086:0x1521, not Chelsio's"),
        ({"device": 0x4401}, "device 0x4401 is neither a T5 nor a T6"),
        ({"device": 0x600D}, "is not the function that a dump is taken of"),
        ({"power": "D3hot"}, r"the function sleeps \(D3hot\)"),
        ({"power": "D3cold"}, r"the function sleeps \(D3cold\)"),
        ({"size": 0}, "BAR0 has no address"),
        ({"size": 0x1000}, "the size of BAR0 is 0x1000"),
    ],
)
def test_what_cannot_be_dumped_is_refused(tree: PciTree, made: dict[str, Any], why: str) -> None:
    tree.function(**made)
    with pytest.raises(RealAdapterError, match=why):
        Sysfs(ADDRESS, root=tree.root)


def test_another_function_of_the_card_is_named(tree: PciTree) -> None:
    tree.function("0000:01:00.0", device=0x600D)
    tree.function()
    assert refused(tree, "0000:01:00.0").remedy == f"that is {ADDRESS}"


def test_a_function_that_reads_all_ones_is_refused(tree: PciTree) -> None:
    folder = tree.function()
    (folder / "config").write_bytes(b"\xff" * 4096)
    assert "all ones" in refused(tree).why


@pytest.mark.parametrize(
    ("number", "state", "keeps", "what"),
    [
        (3, "D3hot", False, "resets itself by that and loses its state"),
        (3, "D3hot", True, "keeps its state"),
        (1, "D1", True, "keeps its state"),
    ],
)
def test_a_sleep_that_the_kernel_has_not_ordered_is_found(
    tree: PciTree, number: int, state: str, keeps: bool, what: str
) -> None:
    power = PmCap(power_state=number, no_soft_reset=keeps)
    folder = tree.function(power="unknown", decoding=False, sleeps=power)
    found = refused(tree)
    assert found.why.startswith(f"the function sleeps ({state})")
    assert found.remedy == f"echo 1 >{folder}/enable wakes it; it {what}"
    assert (folder / "enable").read_text() == "0\n"


def test_a_function_that_is_awake_is_not_refused(tree: PciTree) -> None:
    tree.function(power="unknown", sleeps=PmCap(no_soft_reset=1))
    Sysfs(ADDRESS, root=tree.root).close()


def test_a_process_that_is_shown_only_the_header_is_told_what_it_lacks(tree: PciTree) -> None:
    folder = tree.function()
    os.truncate(folder / "config", 64)
    found = refused(tree)
    assert "only the header of configuration space" in found.why
    assert "as root, not in a container" in found.remedy


def test_configuration_space_that_ends_is_refused(tree: PciTree) -> None:
    folder = tree.function()
    (folder / "config").write_bytes(b"")
    assert "configuration space" in refused(tree).why


def test_lockdown_is_refused(tree: PciTree) -> None:
    tree.function()
    tree.lockdown("none [integrity] confidentiality")
    assert "locked down (integrity)" in refused(tree).why


def test_a_kernel_without_lockdown_is_not_locked_down(tree: PciTree) -> None:
    tree.function()
    tree.lockdown("[none] integrity confidentiality")
    Sysfs(ADDRESS, root=tree.root).close()


@pytest.mark.parametrize("name", ["config", "resource0"])
def test_who_has_no_right_is_told_so(name: str) -> None:
    """Root may open anything: a process without its rights tries."""
    with TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        tree = PciTree(Path(open_to_all) / "sys")
        folder = tree.function()
        for file in ("config", "resource0"):
            (folder / file).chmod(0o444 if file == name else 0o666)
        context = multiprocessing.get_context("fork")
        found = context.Queue()
        child = context.Process(target=_try, args=(tree, found))
        child.start()
        said = found.get(timeout=60)
        child.join()
    assert said == f"no right to open {folder / name}\nto do: run it as root"


def _try(tree: PciTree, found: Any) -> None:
    if not os.geteuid():
        os.setgid(65534)
        os.setuid(65534)
    try:
        Sysfs(ADDRESS, root=tree.root)
    except RealAdapterError as error:
        found.put(str(error))


def test_an_address_without_a_function_is_refused(tree: PciTree) -> None:
    tree.function()
    with pytest.raises(NoSuchFunction, match="no such PCI function"):
        Sysfs("0000:02:00.4", root=tree.root)
    with pytest.raises(ValueError, match="is no PCI address"):
        Sysfs("../../evil", root=tree.root)
