"""The pages about the interface: they follow from the source and from what both ends do."""

from __future__ import annotations

import ast
import importlib
import os
import re
import struct
from pathlib import Path

import pytest
import reference
from flawed import Proxy
from vfio_device import SIZE, Device
from vfio_peers import ACCESS, raw_client

import pyvfio_user
from pyvfio_user import Client, Command, memory_file

PROTOCOL = reference.PAGE.with_name("protocol.md")
REQUESTS = {
    2: struct.pack("<IIQQQ", 32, 3, 0, 0x10000, 0x1000),
    3: struct.pack("<IIQQ", 24, 0, 0x10000, 0x1000),
    4: struct.pack("<IIII", 16, 0, 0, 0),
    5: struct.pack("<IIIIQQ", 32, 0, 0, 0, 0, 0),
    6: struct.pack("<IIII", 4096, 0, 0, 0),
    7: struct.pack("<IIII", 16, 0, 0, 0),
    8: struct.pack("<IIIII", 20, 0x21, 2, 0, 0),
    9: ACCESS.pack(0, 0, 4),
    10: ACCESS.pack(0, 0, 4) + b"word",
    11: struct.pack("<QQ", 0x10000, 4),
    12: struct.pack("<QQ", 0x10000, 4) + b"word",
    13: b"",
    14: struct.pack("<II", 8, 1),
    15: struct.pack("<Q", 1) + ACCESS.pack(0, 0, 4) + b"word\0\0\0\0",
}
"""A payload for each command, in an order in which all can succeed."""


def rows() -> list[tuple[int, str, str, str]]:
    table = re.findall(r"(?m)^\| (\d+) \| (\w+) \| (.*?) \| (.*) \|$", PROTOCOL.read_text())
    return [(int(number), name, server, client) for number, name, server, client in table]


def test_the_page_of_the_api_is_made_from_the_source() -> None:
    """If it is not: python tests/support/reference.py"""
    assert reference.PAGE.read_text() == reference.page()


def test_all_that_the_package_exports_is_on_it() -> None:
    assert reference.public_names("pyvfio_user") == pyvfio_user.__all__
    for module in reference.MODULES:
        names = reference.public_names(module)
        assert len(names) > 3
        assert [n for n in names if not hasattr(importlib.import_module(module), n)] == []


@pytest.mark.parametrize("module", reference.MODULES)
def test_everything_public_says_what_it_is(module: str) -> None:
    known = reference.everything()
    silent = [name for name in reference.public_names(module) if not known[name][1]]
    for name in reference.public_names(module):
        node = known[name][0]
        if isinstance(node, ast.ClassDef):
            silent += [f"{name}.{m}" for m, function, text in reference.members(node) if not text]
    assert silent == []


def test_the_table_has_every_command_of_the_protocol() -> None:
    assert [(number, name) for number, name, _, _ in rows()] == [(c, c.name) for c in Command]


def test_the_server_does_what_the_table_says(device: Device) -> None:
    with raw_client(device.path) as peer:
        accepted = {1: peer.negotiate().error == 0}
        for number, payload in REQUESTS.items():
            accepted[number] = peer.ask(number, payload).error == 0
    assert {number: server.startswith("yes") for number, _, server, _ in rows()} == accepted


def test_the_client_sends_what_the_table_says(device: Device, tmp_path: Path) -> None:
    """DMA_READ and DMA_WRITE come from the server, and this one announces no write_multiple."""
    sent: set[int] = set()

    def record(data: bytes) -> bytes:
        sent.add(struct.unpack_from("<H", data, 2)[0])
        return data

    path = str(tmp_path / "recorded")
    with Proxy(requests=record).serving(path, device.path), Client(path, deadline=10) as client:
        fd = memory_file("memory", SIZE)
        client.dma_map(fd, 0x10000, SIZE)
        client.dma_unmap(0x10000, SIZE)
        os.close(fd)
        assert client.regions
        assert client.irqs
        os.close(client.irq_eventfd(0))
        client.irq_disable(2)
        client.region_write(0, 0, b"word")
        assert client.region_read(0, 0, 4) == b"word"
        client.reset()
    table = {number for number, _, _, client in rows() if client.startswith("yes")}
    assert table - {11, 12, 15} == sent


def test_the_methods_that_the_table_names_exist() -> None:
    names = re.findall(r"`Client\.(\w+)`", PROTOCOL.read_text())
    assert len(names) > 10
    assert [name for name in names if not hasattr(Client, name)] == []
