"""Which of this machine's functions are Chelsio's, and what can be done with each."""

from __future__ import annotations

from pathlib import Path

import pytest
from pcitree import ADDRESS, PciTree

from vmcoredd.driver.real.functions import find_function, functions, refusals, whole_address


@pytest.fixture
def tree(tmp_path: Path) -> PciTree:
    return PciTree(tmp_path / "sys")


def test_only_functions_of_chelsio_are_found_in_the_order_of_their_addresses(tree: PciTree) -> None:
    tree.function("0000:81:00.4")
    tree.function("0000:01:00.4")
    tree.function("0000:02:00.0", vendor=0x8086, device=0x1521)
    assert [one.address for one in functions(tree.root)] == ["0000:01:00.4", "0000:81:00.4"]


def test_a_machine_without_a_pci_bus_has_none(tree: PciTree) -> None:
    assert functions(tree.root) == []


def test_a_function_tells_its_card_its_driver_and_its_interfaces(tree: PciTree) -> None:
    tree.function(driver="cxgb4", interface="eth3", power="D0")
    function = find_function(ADDRESS, tree.root)
    assert function.is_drivers
    assert (function.product, repr(function.chip)) == ("T62100-CR", "T6")
    assert (function.driver, function.interfaces) == ("cxgb4", ["eth3"])
    assert function.power_state == "D0"


def test_the_domain_of_an_address_may_be_left_out() -> None:
    assert whole_address("01:00.4") == "0000:01:00.4"
    assert whole_address("0001:AB:1f.7") == "0001:ab:1f.7"


@pytest.mark.parametrize("text", ["", "1:0.0", "0000:01:00.8", "0000:01:00.4/..", "eth0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no PCI address such as"):
        whole_address(text)


def test_all_reasons_are_told_at_once(tree: PciTree) -> None:
    tree.function(driver="cxgb4", power="D3hot")
    tree.lockdown("none integrity [confidentiality]")
    whys = [one.why for one in refusals(find_function(ADDRESS, tree.root), "sysfs")]
    assert [why.split(":")[0] for why in whys] == [
        "bound to cxgb4",
        "the function sleeps (D3hot)",
        "the kernel is locked down (confidentiality)",
    ]


def test_a_free_function_has_no_reason_against_sysfs(tree: PciTree) -> None:
    tree.function()
    assert list(refusals(find_function(ADDRESS, tree.root), "sysfs")) == []
