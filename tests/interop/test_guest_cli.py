"""`vmcoredd guest` as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vmcoredd import vmcore

pytestmark = [pytest.mark.guest, pytest.mark.interop]


def vmcoredd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vmcoredd", "guest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_live_adds_the_adapters_dump_to_a_panicked_guests_memory(prepared, tmp_path: Path):
    output = tmp_path / "vmcore"
    done = vmcoredd("live", "--card", "t62100-cr", "--panic", "-o", str(output), "--json")
    assert done.returncode == 0, done.stderr
    (adapter,) = json.loads(done.stdout)["adapters"]
    assert (adapter["good"], adapter["failed"]) == (50, 2)
    with vmcore.Reader(output) as reader:
        owners = [note.owner for note in reader.notes]
        assert reader.damage == ()
    assert owners[0] == "LINUX"
    assert "VMCOREINFO" in owners


def test_run_returns_the_scripts_output_and_exit_code(prepared, tmp_path: Path):
    script = tmp_path / "probe.sh"
    script.write_text("#!/bin/sh\nlspci\nexit 3\n")
    console = str(tmp_path / "console")
    done = vmcoredd("run", "--card", "t520-cr", "--script", str(script), "--console", console)
    assert done.returncode == 3, done.stderr
    assert "1425:5401" in done.stdout


def test_an_unknown_card_is_refused_before_a_guest_boots(tmp_path: Path):
    done = vmcoredd("kdump", "--card", "nope", "-o", str(tmp_path / "vmcore"))
    assert done.returncode == 2
    assert "no such card" in done.stderr
