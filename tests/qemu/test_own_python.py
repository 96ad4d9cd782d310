"""What of the host this Python needs in a guest, and how it is run there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyvfio_user
import vmcoredd
from vmcoredd.qemu.own_python import PACKAGES, command, folders, python
from vmcoredd.qemu.root import MOST_NAMED, check_folders


def test_the_folders_hold_python_and_the_packages_and_none_is_in_another() -> None:
    found = folders()
    for needed in (sys.base_prefix, sys.prefix, vmcoredd.__file__, pyvfio_user.__file__):
        assert any(Path(str(needed)).resolve().is_relative_to(folder) for folder in found), needed
    assert not any(a != b and a.is_relative_to(b) for a in found for b in found)


def test_a_guest_can_have_them() -> None:
    assert len(check_folders(folders())) <= MOST_NAMED


def test_the_line_of_shell_runs_this_package_and_no_other(tmp_path: Path) -> None:
    program = "import sys, vmcoredd.driver; print(vmcoredd.__file__, sys.argv[1])"
    line = python("-c", program, "it's")
    bare = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=bare, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{vmcoredd.__file__} it's\n"
    assert str(PACKAGES[0]) in command("notes")
