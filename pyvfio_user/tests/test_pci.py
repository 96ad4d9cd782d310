"""Config space."""

from __future__ import annotations

import pytest

from pyvfio_user import pci


def space() -> bytearray:
    return bytearray(pci.header(0x1425, 0x6407, device_class=0x020000)).ljust(4096, b"\0")


def test_the_header_holds_the_devices_identity() -> None:
    header = pci.header(
        0x1425, 0x6407, subsystem=(0x1425, 1), device_class=0x123456, revision=7, interrupt_pin=1
    )
    assert len(header) == 64
    assert header[0:4] == b"\x25\x14\x07\x64"
    assert header[8:12] == b"\x07\x56\x34\x12"
    assert header[0x2C:0x30] == b"\x25\x14\x01\x00"
    assert header[0x3D] == 1


def test_capabilities_have_the_sizes_that_pci_defines() -> None:
    sizes = [
        len(pci.power_management()),
        len(pci.express()),
        len(pci.msix(8, (4, 0), (4, 0x1000))),
        len(pci.vital_product_data()),
    ]
    assert sizes == [8, 60, 12, 8]


def test_msix_holds_bar_and_offset_of_its_tables() -> None:
    assert pci.msix(8, (4, 0x800), (2, 0x1000))[2:] == b"\x07\0\x04\x08\0\0\x02\x10\0\0"


@pytest.mark.parametrize(
    ("vectors", "table"), [(0, (4, 0)), (2049, (4, 0)), (8, (6, 0)), (8, (4, 4)), (8, (4, -8))]
)
def test_msix_refuses_what_its_fields_cannot_hold(vectors: int, table: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"MSI-X"):
        pci.msix(vectors, table, (4, 0))


def test_linked_capabilities_form_a_list() -> None:
    config = space()
    pci.link(config, 0x50, pci.vital_product_data())
    pci.link(config, 0x40, pci.power_management())
    assert (config[0x34], config[0x51], config[0x41]) == (0x50, 0x40, 0)
    assert config[6] & 0x10


@pytest.mark.parametrize("position", [0x3C, 0x42, 0xFC])
def test_a_capability_must_be_aligned_and_after_the_header(position: int) -> None:
    with pytest.raises(ValueError, match=r"does not fit at"):
        pci.link(space(), position, pci.vital_product_data())


def test_no_capability_is_added_to_a_list_that_loops() -> None:
    config = space()
    config[0x34] = 0x40
    config[0x41] = 0x40
    with pytest.raises(ValueError, match=r"loop"):
        pci.link(config, 0x50, pci.vital_product_data())
