"""Fixtures for servers and clients."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from jsonschema import Draft202012Validator
from vfio_device import SIZE, Device

import pyvfio_user

settings.register_profile("pyvfio_user", deadline=None)  # a busy machine may make any example late
settings.load_profile("pyvfio_user")


@pytest.fixture(scope="session")
def described() -> Callable[[str], Any]:
    """Reads what a command prints with --json, and checks it against the schema."""
    schema = json.loads((files("pyvfio_user") / "json-schema.json").read_text())
    Draft202012Validator.check_schema(schema)

    def read(text: str) -> Any:
        record = json.loads(text)
        Draft202012Validator(schema).validate(record)
        return record

    return read


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@pytest.fixture
def make_device(path: str) -> Iterator[Callable[[], Device]]:
    """Makes a device that is not served yet."""
    made: list[Device] = []

    def make() -> Device:
        made.append(Device(path))
        return made[-1]

    yield make
    for device in made:
        device.server.close()


@pytest.fixture
def device(make_device: Callable[[], Device]) -> Iterator[Device]:
    """A served device: memory of 64 KiB as region 0, eight MSI-X vectors."""
    device = make_device()
    device.server.region(0, SIZE, device.access, bits64=True)
    device.server.irqs(msix=8)
    with device.serving():
        yield device


@pytest.fixture
def client(device: Device) -> Iterator[pyvfio_user.Client]:
    with pyvfio_user.Client(device.path, deadline=10) as client:
        yield client
