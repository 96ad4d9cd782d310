"""Why a dump is missing, told from lines that real crash kernels printed."""

from __future__ import annotations

import pytest

from vmcoredd.qemu.guest import Result
from vmcoredd.qemu.verdict import Crash, crash_kernels_part, dump_name

NAME = "cxgb4_0000:00:02.0"
DONE = Result(0, "")
KILLED = Result(137, "Killed\n")
OOPS = """\
[   14.388348] BUG: kernel NULL pointer dereference, address: 0000000000000038
[   14.390639] RIP: 0010:cudbg_collect_sge_indirect+0x53/0x240 [cxgb4]
"""
MEMORY = "[    1.982237] Out of memory: Killed process 37 (zero-page-insmo) total-vm:984kB\n"
PROBE = "[    2.417099] cxgb4: probe of 0000:00:02.0 failed with error -5\n"
NEWER_PROBE = "[    2.417099] cxgb4 0000:00:02.0: probe with driver cxgb4 failed with error -5\n"


def crash(console: str, driver: Result = DONE) -> Crash:
    return Crash(console, driver, "64M")


@pytest.mark.parametrize(
    ("console", "driver", "reason", "remedy"),
    [
        (OOPS, KILLED, "the driver oopsed: BUG: kernel NULL pointer", "leave out --no-remedy"),
        (MEMORY, KILLED, "ran out of memory with crashkernel=64M", "--crashkernel 256M"),
        (PROBE, DONE, "its probe failed with -5 (EIO)", "the console's log"),
        (NEWER_PROBE, DONE, "its probe failed with -5 (EIO)", "the console's log"),
        ("", Result(1, "insmod: can't insert\n"), "printed: insmod: can't insert", "console"),
        ("BUG: unable to handle page fault\n", KILLED, "the crash kernel oopsed", "console"),
        ("", DONE, "the console gives no reason", "console"),
    ],
    ids=["oops", "memory", "probe", "probe-6.12", "insmod", "other-oops", "nothing"],
)
def test_the_console_tells_why_a_dump_is_missing(console, driver, reason, remedy):
    verdict = crash(console, driver).missing(NAME)
    assert verdict.name == NAME
    assert reason in verdict.reason
    assert remedy in verdict.remedy


def test_a_failed_probe_is_that_adapters_alone():
    assert "gives no reason" in crash(PROBE).missing("cxgb4_0000:00:03.0").reason


def test_a_dump_made_without_enough_memory_may_be_partial():
    verdict = crash(MEMORY, KILLED).partial(NAME)
    assert verdict
    assert "may be partial" in verdict.reason
    assert crash(PROBE).partial(NAME) is None


def test_only_the_crash_kernels_part_of_the_log_counts(tmp_path):
    console = tmp_path / "console"
    console.write_text(f"Linux version 6.1\n{OOPS}Linux version 6.1\nquiet\n")
    assert "BUG" not in crash_kernels_part(console)
    console.write_text("no kernel began")
    assert crash_kernels_part(console) == "no kernel began"


def test_the_driver_names_dumps_by_the_adapters_slots():
    assert [dump_name(index) for index in (0, 9)] == [NAME, "cxgb4_0000:00:0b.0"]
