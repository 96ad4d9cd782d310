"""`vmcoredd sweep` with guests: a crash, and a script that prints KTAP."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cliruns import spawned

from tests.support.schema import problems

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
KERNEL = os.environ.get("VMCOREDD_GUEST_KERNEL", "6.1")
pytestmark = [pytest.mark.guest, pytest.mark.interop]
SECONDS = 1800.0
SCRIPT = """#!/bin/sh
echo KTAP version 1
echo 1..2
echo ok 1 up
grep -q 0x1425 /sys/bus/pci/devices/0000:00:02.0/vendor && echo ok 2 card || echo not ok 2 card
"""


def sweep(folder: Path, *words: object) -> tuple[int, dict[str, Any]]:
    done = spawned("sweep", "-o", folder, "--json", *words, timeout=SECONDS)
    record = json.loads(done.stdout)
    assert problems(record) == []
    return done.returncode, record


def test_a_guests_crash_kernel_dumps_a_broken_card_as_our_own_driver_does(tmp_path: Path) -> None:
    faults = ("healthy", "parity-cim") if THOROUGH else ("parity-cim",)
    words = ("--card", "t62100-cr", "--kernel", f"none,{KERNEL}", "--fault", ",".join(faults))
    code, record = sweep(tmp_path / "rows", *words, "--keep-vmcore", "--jobs", 1)
    assert code == 0, record
    assert record["results"] == {"pass": 2 * len(faults), "fail": 0, "error": 0, "skip": 0}
    ours, theirs = record["rows"][: len(faults)], record["rows"][len(faults) :]
    for one, other in zip(ours, theirs, strict=True):
        assert other["release"]
        assert other["found"] == one["found"] == (one["fault"] != "healthy")
        rules = {finding["rule"] for finding in one["findings"]}
        assert rules <= {finding["rule"] for finding in other["findings"]}
        assert "Linux version" in (tmp_path / "rows" / other["console"]).read_text()
        judged = spawned("diagnose", tmp_path / "rows" / other["vmcore"], "--json")
        found = [finding["rule"] for finding in json.loads(judged.stdout)["findings"]]
        assert {finding["rule"] for finding in other["findings"]} <= {*found}


def test_a_script_that_prints_ktap_runs_in_each_cells_guest(tmp_path: Path) -> None:
    (tmp_path / "test.sh").write_text(SCRIPT)
    words = ("--card", "t62100-cr", "--kernel", KERNEL, "--script", tmp_path / "test.sh")
    code, record = sweep(tmp_path / "rows", *words, "--fault", "parity-mc1,healthy")
    assert code == 0, record
    skipped, passed = record["rows"]
    assert (skipped["result"], passed["result"]) == ("skip", "pass")
    assert [(test["name"], test["result"]) for test in passed["tests"]] == [
        ("up", "pass"),
        ("card", "pass"),
    ]
    assert (tmp_path / "rows" / passed["output"]).read_text().startswith("KTAP version 1")
    again = spawned("sweep", "-o", tmp_path / "rows", "--ktap", *words, timeout=SECONDS)
    assert again.stdout.endswith(
        "  KTAP version 1\n"
        "  # Subtest: t62100-cr_6.1_healthy_0\n"
        "  1..2\n  ok 1 up\n  ok 2 card\n"
        "ok 1 t62100-cr_6.1_healthy_0\n".replace("6.1", KERNEL)
    )
