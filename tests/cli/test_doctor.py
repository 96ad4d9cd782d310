"""`vmcoredd doctor`: what is missing is named, with the line to type and exit code 6."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cliruns import PATIENCE, WITHOUT, Run, command

from vmcoredd.cli.checks import State
from vmcoredd.cli.exit_codes import Exit


def test_everything_that_commands_need_is_checked(vmcoredd: Run) -> None:
    result = vmcoredd("doctor", "--json")
    checks = {check["name"]: check for check in result.json["checks"]}
    assert {"libvfio-user", "qemu.qmp", "matplotlib", "QEMU", "kernel 6.1", "cache"} <= set(checks)
    missing = [check for check in checks.values() if check["state"] == State.MISSING]
    assert result.json["missing"] == len(missing)
    assert result.code == (Exit.UNAVAILABLE if missing else Exit.OK)
    assert all(check["remedy"] for check in missing)
    assert checks["temporary files"]["free_bytes"] > 0


@pytest.mark.parametrize("module", ["qemu.qmp", "matplotlib", "pyvfio_user"])
def test_a_missing_module_is_named_with_the_line_to_type(module: str) -> None:
    words = [sys.executable, "-c", WITHOUT, module, "doctor"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == Exit.UNAVAILABLE
    assert "pip install" in done.stdout
    assert "1 missing" in done.stdout
    assert done.stderr == ""


def test_a_cache_without_room_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "file")}
    done = subprocess.run(
        command("doctor"), capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == Exit.UNAVAILABLE
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("missing")]
    assert f"{tmp_path}/file/vmcoredd is not writable" in line
    assert "export XDG_CACHE_HOME=" in done.stdout


def test_the_screen_fits_80_columns(vmcoredd: Run) -> None:
    lines = vmcoredd("doctor").out.splitlines()
    assert all(len(line) <= 80 for line in lines if "$ " not in line and "/" not in line)
