"""Messages that Python parses."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyvfio_user.device import Area
from pyvfio_user.protocol import Capabilities

from pyvfio_user import device


def version(text: bytes, major: int = 0, minor: int = 1) -> bytes:
    return struct.pack("<HH", major, minor) + text


def offer(**capabilities: object) -> bytes:
    return version(json.dumps({"capabilities": capabilities}).encode() + b"\0")


def region_info(
    size: int = 0x8000, flags: int = 7, cap_offset: int = 0, index: int = 0, offset: int = 0
) -> bytes:
    return struct.pack("<IIIIQQ", 32, flags, index, cap_offset, size, offset)


def sparse(*areas: tuple[int, int], count: int | None = None, following: int = 0) -> bytes:
    claimed = len(areas) if count is None else count
    head = struct.pack("<HHIII", 1, 1, following, claimed, 0)
    return head + b"".join(struct.pack("<QQ", *area) for area in areas)


def test_a_version_message_survives_its_own_parser() -> None:
    ours = Capabilities(max_transfer=4096, max_fds=3, write_multiple=True)
    assert Capabilities.parse(ours.message()) == ours


def test_a_version_without_json_means_the_defaults() -> None:
    assert Capabilities.parse(version(b"")) == Capabilities()


def test_a_version_without_capabilities_means_the_defaults() -> None:
    assert Capabilities.parse(version(b"{}\0")) == Capabilities()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\1",
        version(b"{}"),
        version(b"{\0"),
        version(b"[]\0"),
        version(b'{"capabilities":1}\0'),
        version(b"[" * 100000 + b"\0"),
        version(b"\xff\0"),
        version(b"", major=1),
        version(b"", minor=2),
        offer(max_data_xfer_size=0),
        offer(max_data_xfer_size=-1),
        offer(max_data_xfer_size=1 << 32),
        offer(max_data_xfer_size="1"),
        offer(max_data_xfer_size=True),
        offer(max_msg_fds=1.5),
    ],
)
def test_a_malformed_version_is_an_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Capabilities.parse(payload)


def test_sparse_areas_are_found_after_another_capability() -> None:
    other = struct.pack("<HHI", 9, 1, 40)
    info = region_info(flags=15, cap_offset=32) + other + sparse((0x1000, 0x1000))
    region = device.parse_region(0, info, [5])
    assert region.areas == (Area(5, 0x1000, 0x1000, 0x1000),)


def test_each_area_may_have_its_own_descriptor() -> None:
    info = region_info(flags=15, cap_offset=32, offset=0x10000)
    info += sparse((0, 0x1000), (0x2000, 0x1000))
    region = device.parse_region(0, info, [5, 6])
    assert region.areas == (Area(5, 0x10000, 0, 0x1000), Area(6, 0x12000, 0x2000, 0x1000))


def test_one_descriptor_may_serve_all_areas() -> None:
    info = region_info(flags=15, cap_offset=32) + sparse((0, 0x1000), (0x2000, 0x1000))
    assert [area.fd for area in device.parse_region(0, info, [5]).areas] == [5, 5]


def test_a_region_without_sparse_areas_is_mapped_as_a_whole() -> None:
    assert device.parse_region(0, region_info(), [5]).areas == (Area(5, 0, 0, 0x8000),)


def test_a_region_without_descriptors_cannot_be_mapped() -> None:
    assert device.parse_region(0, region_info(), []).areas == ()


@pytest.mark.parametrize(
    ("info", "fds"),
    [
        (region_info()[:31], []),
        (region_info(index=1), []),
        (region_info(flags=15, cap_offset=8) + sparse(), [5]),
        (region_info(flags=15, cap_offset=4096), [5]),
        (region_info(flags=15, cap_offset=32) + sparse((0, 0x1000), following=32), [5]),
        (region_info(flags=15, cap_offset=32) + sparse((0, 0x1000), count=1 << 31), [5]),
        (region_info(flags=15, cap_offset=32) + sparse()[:12], [5]),
        (region_info(flags=15, cap_offset=32) + sparse((0, 0x9000)), [5]),
        (region_info(flags=15, cap_offset=32) + sparse((0x800, 0x1000)), [5]),
        (region_info(flags=15, cap_offset=32) + sparse((0, 0)), [5]),
        (region_info(flags=15, cap_offset=32) + sparse(((1 << 64) - 0x1000, 0x2000)), [5]),
        (region_info(flags=15, cap_offset=32) + sparse((0, 0x1000)), []),
        (region_info(flags=15, cap_offset=32) + sparse((0, 0x1000)), [5, 6]),
    ],
)
def test_an_inconsistent_region_info_is_an_error(info: bytes, fds: list[int]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        device.parse_region(0, info, fds)


@given(st.binary(max_size=200), st.integers(0, 250))
def test_parsing_capabilities_terminates_for_any_bytes(info: bytes, cap_offset: int) -> None:
    try:
        areas = device.capabilities(info, cap_offset)[0]
    except ValueError:
        return
    assert len(areas) <= len(info)


@given(st.binary(max_size=200))
def test_a_version_of_any_bytes_is_parsed_or_refused(payload: bytes) -> None:
    try:
        Capabilities.parse(payload)
    except ValueError:
        return
    assert len(payload) >= 4
