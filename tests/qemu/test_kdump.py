"""The files that a kdump leaves on the host; whole runs are in tests/interop."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmcoredd import vmcore
from vmcoredd.qemu import kdump
from vmcoredd.qemu.errors import GuestError
from vmcoredd.qemu.prepare import Options, unused

TRAFFIC = kdump.Flow(traffic=("eth0=eth1",))


@pytest.mark.parametrize("name", ["vmcore", "vmcore.before"])
def test_neither_vmcore_nor_record_is_replaced_unasked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("old")
    with pytest.raises(vmcore.OutputExists, match=f"{name}'"):
        kdump.run([], tmp_path / "vmcore", flow=TRAFFIC)
    assert (tmp_path / name).read_text() == "old"
    assert kdump.check_outputs(tmp_path / "vmcore", traffic=True, force=True) == (
        tmp_path / "vmcore",
        tmp_path / "vmcore.before",
    )


def test_without_traffic_a_record_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "vmcore.before").touch()
    found = kdump.check_outputs(tmp_path / "vmcore", traffic=False, force=False)
    assert found == (tmp_path / "vmcore", None)


def test_a_failure_keeps_the_new_record_beside_the_old_one(tmp_path: Path) -> None:
    record = tmp_path / "vmcore.before"
    (tmp_path / "run").mkdir()
    for text in ("first", "second"):
        (tmp_path / "run" / kdump.RECORD).write_text(text)
        with pytest.raises(GuestError), kdump._record_kept(tmp_path / "run", record):
            raise GuestError("no crash kernel")
    assert record.read_text() == "first"
    assert (tmp_path / "vmcore.before1").read_text() == "second"


def test_a_kernel_that_holds_no_dump_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    options = Options(kernel="debian:6.12")
    with pytest.raises(GuestError, match=r"debian:6\.12 cannot hold a device dump"):
        kdump.run([], tmp_path / "vmcore", options=options)


def test_a_link_that_leads_nowhere_counts_as_used(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    assert unused(tmp_path / "a") == tmp_path / "a1"
