"""Cards on sockets, served as in the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pyvfio_user
from vmcoredd.bench.processes import CardServer, serving


@pytest.fixture(scope="session", params=["t62100-cr", "t520-cr"])
def served(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The socket of a card of each chip."""
    if pyvfio_user.library_version() is None:
        pytest.skip("built without libvfio-user")
    with serving(CardServer(request.param)) as path:
        yield path
