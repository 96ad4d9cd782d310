"""Our patch of the driver applies to the source of the guests' kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vmcoredd.qemu.kernel import kernel_source

pytestmark = pytest.mark.interop

PATCH = next((Path(__file__).resolve().parents[2] / "docs").glob("0001-*.patch"))
FILE = "drivers/net/ethernet/chelsio/cxgb4/cudbg_lib.c"


def test_the_patch_applies_to_the_guests_kernel(tmp_path, progress):
    archive = kernel_source(progress=progress).archive
    member = f"{archive.name.removesuffix('.tar.xz')}/{FILE}"
    unpack = ["tar", "-x", "-f", archive, "--strip-components=1", "--occurrence=1", member]
    subprocess.run(unpack, cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", PATCH], cwd=tmp_path, check=True)
    assert "padap->port[i] && netif_running(padap->port[i])" in (tmp_path / FILE).read_text()
