"""Builds the kernel's driver once for all tests that run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.kernel_driver.build import build
from tests.interop.kernel_driver.source import cache, kernel_source

Progress = Callable[[str, float | None], None]


@pytest.fixture(scope="session")
def kernel(progress: Progress) -> Path:
    return kernel_source(progress=progress)


@pytest.fixture(scope="session")
def library(kernel: Path, progress: Progress) -> Path:
    return build(kernel, cache(), progress)
