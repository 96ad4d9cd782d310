"""What the tests with guests share: the parts of a guest, made once, and their progress shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qemu.parts import Parts, obtain


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
    """QEMU, the default kernel, the initramfs."""
    return obtain(progress=progress)
