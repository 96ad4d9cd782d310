"""What a server shows of its device, in words and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError
from pyvfio_user.protocol import MIGRATION_TYPE
from vfio_device import SIZE, Device
from vfio_peers import (
    GET_INFO,
    GET_IRQ_INFO,
    GET_REGION_INFO,
    READ,
    Peer,
    read_request,
    scripted_server,
)

from pyvfio_user import Area, __main__, config, memory_file, pci, probe

EXTENDED = struct.pack("<I", 0x1A0 << 20 | 1 << 16 | 0x0001)
SERIAL = struct.pack("<I", 1 << 16 | 0x0003)


def space(*capabilities: tuple[int, bytes], size: int = 4096) -> bytearray:
    whole = bytearray(pci.header(0x1425, 0x6407, device_class=0x020000, revision=3)).ljust(
        size, b"\0"
    )
    for position, data in capabilities:
        pci.link(whole, position, data)
    return whole


@pytest.fixture
def shown(make_device: Callable[[], Device]) -> probe.Description:
    device = make_device()
    area = Area(memory_file("bar", SIZE), 0x1000, 0x1000, 0x2000)
    device.server.region(0, SIZE, device.access, bits64=True, prefetch=True, mmap=area)
    device.server.region(2, 32, device.access, memory=False)
    device.server.capability(0x40, pci.power_management())
    device.server.capability(0x50, pci.msix(8, (0, 0), (0, 0x800)))
    device.server.irqs(intx=1, msix=8)
    with device.serving():
        found = probe.probe(device.path, deadline=10)
    os.close(area.fd)
    return found


def test_output_that_nobody_reads_is_no_failure(make_device: Callable[[], Device]) -> None:
    device = make_device()
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "pyvfio_user", "probe", str(device.path)]
    with device.serving(), open(writer, "wb") as output:
        done = subprocess.run(words, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_regions_interrupts_and_capabilities_are_shown(shown: probe.Description) -> None:
    lines = list(shown.lines())
    assert lines[0].startswith("vfio-user 0.1 at ")
    assert "device: reset, pci" in lines
    assert "  0 BAR0         0x10000 bytes  read write mmap caps" in lines
    assert "    can be mapped: 0x2000 bytes at 0x1000" in lines
    assert "  7 config        0x1000 bytes  read write" in lines
    assert "  2 MSIX               8 vectors  eventfd" in lines
    assert "config space: 1425:6407, subsystem 0000:0000, revision 00" in lines
    assert "  class 020000, Ethernet controller" in lines
    assert "  BAR0: 64-bit memory, prefetchable, 0x0" in lines
    assert "  BAR2: I/O, 0x0" in lines
    assert "  capability 0x11 at 0x50: MSI-X" in lines


def test_the_json_has_the_same(shown: probe.Description, described: Callable[[str], Any]) -> None:
    found = described(json.dumps(shown.json()))
    assert found["version"]["max_dma_maps"] == 512
    assert found["device"] == {"flags": ["reset", "pci"], "regions": 10, "interrupt_indexes": 5}
    assert found["regions"][0] == {
        "index": 0,
        "name": "BAR0",
        "size": SIZE,
        "flags": ["read", "write", "mmap", "caps"],
        "type": None,
        "areas": [{"offset": 0x1000, "size": 0x2000}],
    }
    assert [cap["name"] for cap in found["config"]["capabilities"]] == ["power management", "MSI-X"]
    assert found["note"] == ""


def test_the_command_prints_either(
    device: Device, capsys: pytest.CaptureFixture[str], described: Callable[[str], Any]
) -> None:
    assert __main__.main(["probe", device.path]) == 0
    assert capsys.readouterr().out.startswith("vfio-user 0.1 at ")
    assert __main__.main(["probe", device.path, "--json"]) == 0
    assert described(capsys.readouterr().out)["config"]["vendor"] == 0x1425


def test_the_json_of_a_device_without_config_space_is_in_the_schema_too(
    shown: probe.Description, described: Callable[[str], Any]
) -> None:
    """With a region of a kind of its own, as for migration, and flags that have no name."""
    region = dataclasses.replace(shown.regions[0], type=MIGRATION_TYPE)
    bare = dataclasses.replace(shown, config=None, note="there is none", regions=(region,))
    assert described(json.dumps(bare.json()))["config"] is None
    broken = json.dumps(bare.json() | {"more": 1})
    with pytest.raises(ValidationError):
        described(broken)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["probe", "socket", "--", "server"], "only check starts a server"),
        (["probe", "socket", "--deadline", "soon"], "soon: must be more than 0"),
    ],
)
def test_wrong_usage_is_no_failed_check(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        __main__.main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def serve_info(peer: Peer, config_reads: Callable[[int, int], bytes | None]) -> None:
    """Serves a device with 256 bytes of config space and a region of another type."""
    peer.accept_version()
    while True:
        asked = peer.receive()
        (index,) = struct.unpack_from("<8xI", asked.payload.ljust(12, b"\0"))
        if asked.command == GET_INFO:
            peer.answer(asked, struct.pack("<IIII", 16, 2, 10, 1))
        elif asked.command == GET_REGION_INFO:
            size = {7: 256, 9: 8192}.get(index, 0)
            caps = struct.pack("<HHIII", 2, 1, 0, 3, 1) if index == 9 else b""
            flags = 3 | (8 if caps else 0)
            offset = 32 if caps else 0
            info = struct.pack("<IIIIQQ", 32 + len(caps), flags, index, offset, size, 0)
            room = int.from_bytes(asked.payload[:4], "little")
            peer.answer(asked, info + (caps if room > 32 else b""))
        elif asked.command == GET_IRQ_INFO:
            peer.answer(asked, struct.pack("<IIII", 16, 1, index, 1))
        elif asked.command == READ:
            offset, _, count = read_request(asked)
            data = config_reads(offset, count)
            if data is None:
                peer.answer(asked, error=22)
            else:
                peer.answer(asked, asked.payload + data)


def test_config_space_is_read_word_by_word_if_need_be(path: str) -> None:
    whole = bytes(space((0x40, pci.express()), size=256))

    def read(offset: int, count: int) -> bytes | None:
        return whole[offset : offset + count] if count <= 4 else None

    with scripted_server(path, lambda peer: serve_info(peer, read)):
        found = probe.probe(path, deadline=10)
    assert found.config
    assert [cap.name for cap in found.config.capabilities] == ["PCI Express"]
    assert probe.region_name(found.regions[9]) == "migration"


def test_config_space_that_cannot_be_read_is_told(path: str) -> None:
    with scripted_server(path, lambda peer: serve_info(peer, lambda offset, count: None)):
        found = probe.probe(path, deadline=10)
    assert found.config is None
    assert "refused, EINVAL" in found.note


# Config space


def test_capabilities_have_names_and_places() -> None:
    whole = space((0x40, pci.power_management()), (0x50, pci.express()), (0xA0, b"\xee\0\0\0"))
    whole[0x100:0x104], whole[0x1A0:0x1A4] = EXTENDED, SERIAL
    caps = config.parse(bytes(whole)).capabilities
    assert [(cap.name, cap.offset, cap.extended) for cap in caps] == [
        ("power management", 0x40, False),
        ("PCI Express", 0x50, False),
        ("unknown", 0xA0, False),
        ("advanced error reporting", 0x100, True),
        ("device serial number", 0x1A0, True),
    ]


def test_a_list_of_capabilities_that_is_a_loop_is_told() -> None:
    whole = space((0x40, pci.power_management()))
    whole[0x41] = 0x40
    header = config.parse(bytes(whole))
    assert header.capabilities == ()
    assert "damaged" in header.note


def test_a_header_that_is_cut_is_an_error() -> None:
    with pytest.raises(ValueError, match="63 bytes of config space"):
        config.parse(bytes(63))


@given(st.binary(min_size=64, max_size=300))
def test_any_bytes_are_parsed(whole: bytes) -> None:
    header = config.parse(whole)
    assert len(header.bars) <= 6
    assert header.class_name
