"""`vmcoredd dump --pci` and `vmcoredd cards --present` on a made tree of sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import Run
from pcitree import ADDRESS, PciTree

from vmcoredd.cli.exit_codes import Exit
from vmcoredd.driver.real import functions


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PciTree:
    """What the commands take for sysfs."""
    made = PciTree(tmp_path / "sys")
    monkeypatch.setattr(functions, "SYSFS", made.root)
    return made


def test_a_machine_without_adapters_says_so(vmcoredd: Run, tree: PciTree) -> None:
    done = vmcoredd("cards", "--present")
    assert done.code == Exit.OK
    none = f"none in {tree.root}/bus/pci/devices has its vendor id"
    assert done.out == f"no PCI function here is of Chelsio's: {none}\n"
    assert vmcoredd("cards", "--present", "--json").json["present"] == []


def test_present_adapters_are_shown_with_what_can_be_done(vmcoredd: Run, tree: PciTree) -> None:
    tree.function("0000:01:00.0", device=0x600D)
    tree.function(driver="cxgb4", interface="eth0")
    tree.function("0000:02:00.4", device=0x5401)
    shown = vmcoredd("cards", "--present").out
    assert "0000:01:00.0, T62100-CR, T6, no driver, D0\n    not a function that a dump" in shown
    assert "0000:01:00.4, T62100-CR, T6, driver cxgb4 (eth0), D0\n    sysfs: not now\n" in shown
    assert "to do: `ethtool -W eth0 3; ethtool -w eth0 data FILE` dumps it as it is" in shown
    command = "`vmcoredd dump --pci 0000:02:00.4 --via sysfs -o vmcore`"
    assert f"0000:02:00.4, T520-CR, T5, no driver, D0\n    sysfs: {command}\n" in shown
    assert shown.endswith("this machine has 2 adapters, of 3 PCI functions of Chelsio's\n")


def test_present_adapters_are_records_for_programs(vmcoredd: Run, tree: PciTree) -> None:
    tree.function(driver="cxgb4", interface="eth0")
    (record,) = vmcoredd("cards", "--present", "--json").json["present"]
    assert record["address"] == ADDRESS
    assert (record["driver"], record["interfaces"]) == ("cxgb4", ["eth0"])
    assert [(way["via"], way["possible"]) for way in record["ways"]] == [
        ("sysfs", False),
        ("vfio", False),
    ]


def test_a_refused_adapter_leaves_no_file_and_says_what_to_do(
    vmcoredd: Run, tree: PciTree, tmp_path: Path
) -> None:
    tree.function(driver="cxgb4", interface="eth0")
    done = vmcoredd("dump", "--pci", ADDRESS, "-o", tmp_path / "vmcore")
    assert done.code == Exit.UNAVAILABLE
    assert f"vmcoredd: {ADDRESS}: bound to cxgb4: " in done.err
    assert "to do: `ethtool -W eth0 3" in done.err
    assert not (tmp_path / "vmcore").exists()


def test_an_address_without_a_function_is_no_device(
    vmcoredd: Run, tree: PciTree, tmp_path: Path
) -> None:
    done = vmcoredd("dump", "--pci", "05:00.4", "-o", tmp_path / "vmcore")
    assert done.code == Exit.NO_DEVICE
    assert "0000:05:00.4: there is no such PCI function\nto do: `vmcoredd cards" in done.err


def test_an_adapter_whose_registers_read_nothing_is_no_adapter(
    vmcoredd: Run, tree: PciTree, tmp_path: Path
) -> None:
    folder = tree.function()
    (folder / "resource0").write_bytes(b"\xff" * (folder / "resource0").stat().st_size)
    done = vmcoredd("dump", "--pci", ADDRESS, "-o", tmp_path / "vmcore")
    assert done.code == Exit.NO_DEVICE
    assert "PL_WHOAMI is 0xffffffff: the adapter is gone" in done.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--pci", "eth0"], "--pci: 'eth0' is no PCI address such as 0000:01:00.4"),
        (["--pci", ADDRESS, "--pci", "01:00.4"], f"--pci: {ADDRESS} was given twice"),
        (["--card", "t520-cr", "--via", "vfio"], "--via: it needs --pci"),
        (["--card", "t520-cr", "--yes-while-in-use"], "--yes-while-in-use: it needs --pci"),
        (["--card", "t520-cr", "--attach"], "--attach: it needs --pci"),
        (
            ["--pci", ADDRESS, "--attach", "--yes-while-in-use"],
            "--attach: the mailbox is the driver's",
        ),
        (["--pci", ADDRESS, "--via", "magic"], "--via: no way is called magic"),
        (
            ["--pci", ADDRESS, "--via", "vfio", "--yes-while-in-use"],
            "--yes-while-in-use: a function that is bound to vfio-pci has no other driver",
        ),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(
    vmcoredd: Run, tree: PciTree, tmp_path: Path, words: list[str], why: str
) -> None:
    done = vmcoredd("dump", *words, "-o", tmp_path / "vmcore")
    assert done.code == Exit.USAGE
    assert why in done.err


def test_a_real_adapters_dump_is_named_after_its_address() -> None:
    from vmcoredd.cli.commands.dump import dump_names

    assert dump_names([], 2, real=[ADDRESS]) == ["cxgb4_0000:00:02.0", f"cxgb4_{ADDRESS}"]
    assert dump_names(["a", "b"], 2, real=[ADDRESS]) == ["a", "b"]
    assert dump_names(["a"], 2, real=[ADDRESS]) == ["a", f"cxgb4_{ADDRESS}"]
