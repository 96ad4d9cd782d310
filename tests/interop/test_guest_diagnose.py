"""`vmcoredd diagnose /proc/vmcore` in a guest's crash kernel, with 256 MiB, and the hook of
docs/how-to/kdump that saves its findings.

The guest runs this Python from a small root file system in the shared folder, which takes minutes
where QEMU has no KVM: `make test-long` runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from carddump import collected
from pythonroot import ROOT, copy_python

from tests.support.schema import problems
from vmcoredd import emu
from vmcoredd.chip import T6
from vmcoredd.qemu.prepare import Options, Prepared, serve_cards

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
pytestmark = [
    pytest.mark.guest,
    pytest.mark.interop,
    pytest.mark.skipif(not THOROUGH, reason="takes minutes: VMCOREDD_THOROUGH=1, make test-long"),
]
BOOT, DRIVER, DIAGNOSIS = 180.0, 900.0, 900.0
HOOK = ROOT / "docs" / "how-to" / "kdump" / "vmcoredd-findings"
COMMAND = f"""#!/bin/sh
cd /
PYTHONPATH={ROOT} exec chroot /share/root {sys.executable} -m vmcoredd "$@"
"""
"""The guest's `vmcoredd`."""
SAVED = "202611290812"


def shared(share: Path, dump: Path) -> None:
    """Puts Python, the command, the hook and the folder of a saved vmcore into a shared folder."""
    copy_python(share / "root", "diagnose", "--json", dump)
    (share / "vmcoredd").write_text(COMMAND)
    shutil.copy(HOOK, share / "vmcoredd-findings")
    for name in ("vmcoredd", "vmcoredd-findings"):
        (share / name).chmod(0o755)
    (share / "crash" / SAVED).mkdir(parents=True)


@pytest.fixture(scope="module")
def judged(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str, Any]:
    """The card, the hook's output, and findings.json."""
    folder = tmp_path_factory.mktemp("judged")
    dump = folder / "dump.bin"
    dump.write_bytes(collected(T6).data)
    card = emu.Card.load("t62100-cr", seed=5, map_window=True)
    with (
        serve_cards([card], folder) as adapters,
        prepared.guest(Options(), folder, folder / "console", adapters) as guest,
    ):
        shared(guest.share, dump)
        guest.wait_for_kernel("first", BOOT)
        guest.run("arm-crash-kernel", BOOT)
        guest.panic()
        guest.wait_for_kernel("crash", BOOT)
        guest.run("ls /proc/vmcore -l", BOOT)  # its inode now keeps the size without the dump
        guest.run("load-driver", DRIVER)
        guest.run("mount -t proc proc /share/root/proc", BOOT)
        guest.run("mount -t devtmpfs devtmpfs /share/root/dev", BOOT)
        hook = "PATH=/share:$PATH KDUMP_COREDIR=/share/crash VMCOREDD_SECONDS=800"
        said = guest.run(f"{hook} sh /share/vmcoredd-findings", DIAGNOSIS).output
        found = json.loads((guest.share / "crash" / SAVED / "findings.json").read_text())
    return card, said, found


def test_the_hook_judges_the_crash_kernels_own_vmcore(judged: tuple[Any, str, Any]) -> None:
    _, said, found = judged
    assert said == f"vmcoredd-findings: /share/crash/{SAVED}/findings.json\n"
    assert found["file"] == "/proc/vmcore"
    assert (found["damage"], found["lost"]) == ([], [])
    assert problems(found) == []


def test_the_findings_name_the_card(judged: tuple[Any, str, Any]) -> None:
    _, _, found = judged
    (card,) = found["cards"]
    assert (card["chip"], card["name"]) == ("T6 rev 0", "T62100-CR")
    assert card["note"].startswith("cxgb4_0000:00:02.")
