"""What a crash kernel needs of the commands: few reads of /proc/vmcore, and little memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from carddump import collected
from vmcore_files import Elf, Load, dump_note, prstatus, vmcoreinfo

from vmcoredd.chip import T6
from vmcoredd.cli.exit_codes import Exit

MIB = 1 << 20
MOST_MIB = 64
"""Of memory, for all of Python, our code, and the dump."""
MOST_READ_MIB = 8
"""Of 96: the dump's 2 MiB, and tables and modules of ours."""
MEASURED = """
import sys
from pathlib import Path
from vmcoredd.cli import start
from vmcoredd.cli.main import main, parser

def read():
    (line,) = [line for line in Path("/proc/self/io").read_text().splitlines() if "rchar" in line]
    return int(line.split()[1])

import vmcoredd.diagnosis, vmcoredd.vmcore, vmcoredd.cudbg
from vmcoredd.cudbg.entity import entities
from vmcoredd.diagnosis import all_rules
entities(), all_rules(), dict(parser().commands)
before = read()
try:
    main()
finally:
    peak = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    print("read", read() - before, peak[0], file=sys.stderr)
"""
"""Runs the command with all modules loaded before its reads are counted."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vmcore without holes, as /proc/vmcore is: 32 MiB of a note, and 64 MiB of memory."""
    path = tmp_path_factory.mktemp("crash") / "vmcore"
    notes = dump_note(b"cxgb4_0000:00:02.0", bytes(collected(T6).data))
    loads = [Load(0x1000, b"\xa5" * (64 * MIB))]
    path.write_bytes(bytes(Elf(notes=[notes + prstatus() + vmcoreinfo()], loads=loads)))
    return path


@pytest.mark.parametrize("words", [["diagnose"], ["diagnose", "--json"], ["show"], ["notes"]])
def test_a_command_reads_only_what_it_needs(saved: Path, words: list[str]) -> None:
    command = [sys.executable, "-c", MEASURED, *words, str(saved)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == Exit.OK, done.stderr
    found = re.search(r"read (\d+) VmHWM:\s+(\d+) kB", done.stderr)
    assert found
    assert int(found[1]) < MOST_READ_MIB * MIB
    assert int(found[2]) < MOST_MIB * 1024
