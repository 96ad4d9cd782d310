"""The VFIO transport's refusals on a made tree, and what it puts back.

The real thing is in a guest: tests/interop/test_guest_real.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pcitree import ADDRESS, PciTree

from vmcoredd.driver.real import vfio
from vmcoredd.driver.real.errors import RealAdapterError
from vmcoredd.driver.real.functions import find_function
from vmcoredd.driver.real.vfio import Iommu, RegionFlag, Request, Vfio, resets_off

HEADER = Path("/usr/include/linux/vfio.h")
"""The kernel's own, which comes with the C library's headers."""


@pytest.fixture
def tree(tmp_path: Path) -> PciTree:
    return PciTree(tmp_path / "sys")


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """A /dev whose files of VFIO are plain ones."""
    folder = tmp_path / "dev"
    (folder / "vfio").mkdir(parents=True)
    for name in ("vfio", "noiommu-0"):
        (folder / "vfio" / name).touch()
    return folder


def refused(tree: PciTree, dev: Path) -> RealAdapterError:
    """The refusal of a function, which says what to do."""
    with pytest.raises(RealAdapterError) as found:
        Vfio(ADDRESS, root=tree.root, dev=dev)
    assert found.value.remedy in str(found.value)
    return found.value


def test_without_vfio_pci_the_commands_that_load_and_bind_it_are_shown(
    tree: PciTree, dev: Path
) -> None:
    tree.function(driver="cxgb4")
    found = refused(tree, dev)
    assert found.why == "vfio-pci is not loaded"
    assert found.remedy.startswith("`modprobe vfio-pci disable_idle_d3=1`, then bind it: ")
    assert f"echo {ADDRESS} >{tree.root}/bus/pci/drivers/cxgb4/unbind; " in found.remedy
    assert found.remedy.endswith(f"echo {ADDRESS} >{tree.root}/bus/pci/drivers_probe")


def test_a_vfio_pci_that_lets_functions_sleep_is_refused(tree: PciTree, dev: Path) -> None:
    tree.vfio(idle_d3=True)
    tree.function(driver="vfio-pci", group="0")
    found = refused(tree, dev)
    assert "disable_idle_d3 is off" in found.why
    assert found.remedy.startswith("`modprobe -r vfio-pci; modprobe vfio-pci disable_idle_d3=1`")


def test_a_vfio_pci_that_is_built_in_is_told_of_at_boot(tree: PciTree, dev: Path) -> None:
    tree.vfio(idle_d3=True, built_in=True)
    tree.function(driver="vfio-pci", group="0")
    assert refused(tree, dev).remedy.endswith("boot with vfio-pci.disable_idle_d3=1")


@pytest.mark.parametrize(
    ("driver", "why"), [("", "bound to no driver"), ("cxgb4", "bound to cxgb4, not to vfio-pci")]
)
def test_a_function_of_another_driver_is_refused(
    tree: PciTree, dev: Path, driver: str, why: str
) -> None:
    tree.vfio()
    tree.function(driver=driver)
    assert refused(tree, dev).why.startswith(why)


@pytest.mark.parametrize("driver", ["", "cxgb4"])
def test_without_an_iommu_the_first_thing_to_do_is_to_say_so_to_vfio(
    tree: PciTree, dev: Path, driver: str
) -> None:
    """Nothing can be bound before."""
    tree.vfio(without_iommu=False)
    tree.function(driver=driver)
    found = refused(tree, dev)
    assert found.why == "it has no IOMMU group"
    path = tree.root / "module/vfio/parameters/enable_unsafe_noiommu_mode"
    assert f"do without: echo 1 >{path}, then bind it" in found.remedy
    path.write_text("Y\n")
    assert refused(tree, dev).why.endswith(", not to vfio-pci")


def test_a_kernel_whose_vfio_needs_an_iommu_is_told_of(tree: PciTree, dev: Path) -> None:
    tree.vfio(without_iommu=None)
    tree.function()
    assert (
        "cannot do without (CONFIG_VFIO_NOIOMMU); or use --via sysfs" in refused(tree, dev).remedy
    )


def test_a_bound_function_without_a_group_is_refused(tree: PciTree, dev: Path) -> None:
    tree.vfio()
    tree.function(driver="vfio-pci")
    assert refused(tree, dev).why == "it has no IOMMU group"


def test_a_kernel_that_cannot_switch_resets_off_is_refused(tree: PciTree, dev: Path) -> None:
    tree.vfio()
    tree.function(driver="vfio-pci", group="0", resets=None)
    assert "resets cannot be switched off" in refused(tree, dev).why


def test_resets_are_off_while_the_function_is_open_and_then_as_before(tree: PciTree) -> None:
    folder = tree.function()
    function = find_function(ADDRESS, tree.root)
    with resets_off(function):
        assert function.reset_methods == []
    assert (folder / "reset_method").read_text() == "flr bus\n"


def test_a_function_that_cannot_be_reset_needs_no_file(tree: PciTree) -> None:
    folder = tree.function(resets=None)
    (folder / "reset").unlink()
    with resets_off(find_function(ADDRESS, tree.root)):
        assert not (folder / "reset_method").exists()


def test_resets_that_were_off_stay_off(tree: PciTree) -> None:
    folder = tree.function(resets="")
    with resets_off(find_function(ADDRESS, tree.root)):
        pass
    assert (folder / "reset_method").read_text() == "\n"


def test_a_function_that_vfio_does_not_open_keeps_its_resets(tree: PciTree, dev: Path) -> None:
    tree.vfio()
    folder = tree.function(driver="vfio-pci", group="0")
    assert "VFIO does not open the function" in refused(tree, dev).why
    assert (folder / "reset_method").read_text() == "flr bus\n"


def test_a_group_that_is_not_there_is_refused(tree: PciTree, dev: Path) -> None:
    tree.vfio()
    tree.function(driver="vfio-pci", group="7")
    assert "vfio/noiommu-7 cannot be opened" in refused(tree, dev).why


def test_numbers_are_the_kernels() -> None:
    text = HEADER.read_text()
    for request in Request:
        (found,) = re.findall(rf"(?m)^#define VFIO_{request.name}\s+_IO\(VFIO_TYPE, (.*)\)", text)
        base, offset = found.split(" + ")
        (start,) = re.findall(rf"(?m)^#define {base}\s+(\d+)$", text)
        assert request == ord(";") << 8 | int(start) + int(offset), request
    assert re.search(rf"(?m)^#define VFIO_TYPE1v2_IOMMU\s+{int(Iommu.TYPE1V2)}$", text)
    assert re.search(rf"(?m)^#define VFIO_NOIOMMU_IOMMU\s+{int(Iommu.NOIOMMU)}$", text)
    for flag in RegionFlag:
        shift = int(flag).bit_length() - 1
        assert re.search(rf"VFIO_REGION_INFO_FLAG_{flag.name}\s+\(1 << {shift}\)", text), flag
    assert vfio.REGION_INFO.size == 32
