"""docs/how-to/kdump/vmcoredd-findings, which kdump-tools runs after it has saved a vmcore.

A guest's crash kernel runs it too: tests/interop/test_guest_diagnose.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from carddump import collect, small
from cliruns import PATIENCE, ROOT
from vmcore_files import Elf, dump_note

from tests.support.schema import problems
from vmcoredd.chip import T6
from vmcoredd.cli.exit_codes import Exit

HOOK = ROOT / "docs" / "how-to" / "kdump" / "vmcoredd-findings"
SAVED = "202611290812"


@pytest.fixture
def crash(tmp_path: Path) -> Path:
    """What kdump-tools leaves: a folder for each crash, and files of its own."""
    for name in ("202511010000", SAVED):
        (tmp_path / "crash" / name).mkdir(parents=True)
    os.utime(tmp_path / "crash" / "202511010000", (0, 0))
    (tmp_path / "crash" / "kexec_cmd").write_text("")
    program = tmp_path / "bin" / "vmcoredd"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m vmcoredd "$@"\n')
    program.chmod(0o755)
    return tmp_path / "crash"


def hook(crash: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = f"{crash.parent / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KDUMP_COREDIR": str(crash)}
    words = ["sh", str(HOOK), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, env=environment)


def vmcore(path: Path, *faults: str) -> Path:
    dump = bytes(collect(small(T6, *faults)).data)
    path.write_bytes(bytes(Elf(notes=[dump_note(b"cxgb4_0000:01:00.4", dump)])))
    return path


def test_findings_are_saved_in_the_newest_folder(crash: Path, tmp_path: Path) -> None:
    done = hook(crash, vmcore(tmp_path / "vmcore", "firmware-error"))
    findings = crash / SAVED / "findings.json"
    assert (done.returncode, done.stdout) == (Exit.FOUND, f"vmcoredd-findings: {findings}\n")
    record = json.loads(findings.read_text())
    assert problems(record) == []
    assert record["findings"][0]["severity"] == "fatal"
    assert [path.name for path in findings.parent.iterdir()] == ["findings.json"]


def test_findings_are_saved_beside_a_vmcore_that_was_saved_before(crash: Path) -> None:
    folder = crash / "202511010000"
    done = hook(crash, vmcore(folder / "dump.202511010000"), folder)
    assert done.returncode == Exit.OK, done.stderr
    record = json.loads((folder / "findings.json").read_text())
    assert {finding["severity"] for finding in record["findings"]} <= {"note"}


@pytest.mark.parametrize("content", [None, b"no vmcore"], ids=["none", "another file"])
def test_without_a_vmcore_it_fails_and_leaves_nothing(
    crash: Path, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "vmcore").write_bytes(content)
    done = hook(crash, tmp_path / "vmcore")
    assert done.returncode == 1
    assert "vmcoredd-findings: vmcoredd diagnose" in done.stderr
    assert list((crash / SAVED).iterdir()) == []


def test_without_a_folder_it_fails(crash: Path, tmp_path: Path) -> None:
    for folder in crash.glob("2*"):
        folder.rmdir()
    done = hook(crash, vmcore(tmp_path / "vmcore"))
    assert done.returncode == 1
    assert f"no folder of a vmcore in {crash}" in done.stderr
