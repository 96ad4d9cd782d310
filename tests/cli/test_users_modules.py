"""A user's script beside modules of the rooms' names gets the rooms, not those."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOMS = ("bench", "chip", "cli", "cudbg", "debs", "driver", "emu", "hw", "vmcore")
SCRIPT = """
from vmcoredd import cudbg, driver, emu, vmcore
import vmcoredd.bench, vmcoredd.cli.main
print(driver.open_card(emu.Card.load("t520-cr")).probed.product)
"""


def test_a_users_own_modules_do_not_hide_ours(tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / f"{room}.py").write_text("raise RuntimeError('the user\\'s own')\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("T520-CR\n", "")
