"""What the tests with guests share: the parts of a guest, made once, and their progress shown."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from vmcoredd.qemu.parts import Parts, obtain
from vmcoredd.qemu.sources import DEFAULT


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Callable[[str, float | None], None]:
    """Shows what takes long, past pytest's capturing: each tenth of each step."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    shown: set[tuple[str, int | None]] = set()

    def show(what: str, fraction: float | None) -> None:
        step = (what, None if fraction is None else int(fraction * 10))
        if step not in shown:
            shown.add(step)
            reporter.write_line(what if step[1] is None else f"{what}: {step[1] * 10} %")

    return show


@pytest.fixture(scope="session")
def parts(progress) -> Parts:
    """QEMU, the initramfs, and the kernel: the default one, or $VMCOREDD_GUEST_KERNEL."""
    return obtain(os.environ.get("VMCOREDD_GUEST_KERNEL", DEFAULT), progress)
