"""Shared by the tests with guests: a guest's files, prepared once, and a progress display."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import stock as stock_guests

from vmcoredd.qemu.kernel import DEFAULT_KERNEL
from vmcoredd.qemu.prepare import Prepared, prepare
from vmcoredd.testing.needs import shown


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Callable[[str, float | None], None]:
    """Shows slow steps in spite of pytest's capturing."""
    return shown(request.config)


@pytest.fixture(scope="session")
def prepared(progress) -> Prepared:
    """QEMU, the initramfs, and the kernel: the default one, or $VMCOREDD_GUEST_KERNEL."""
    return prepare(os.environ.get("VMCOREDD_GUEST_KERNEL", DEFAULT_KERNEL), progress)


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory, progress) -> Iterator[stock_guests.Stock]:
    """The guest with a kernel of Debian's that tests share: a T6 and a T5, ports joined by twos."""
    folder = tmp_path_factory.mktemp("stock")
    with stock_guests.booted(stock_guests.SHARED, folder, progress) as guest:
        yield guest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests that share a guest last, in the order in which they use it."""
    turns = {name: turn for turn, name in enumerate(stock_guests.IN_TURN)}
    items.sort(key=lambda item: turns.get(item.path.stem, -1))
