"""PCI configuration space: header, capabilities, writable bits, VPD, resets."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from vmcoredd.chip import pci, vpd
from vmcoredd.chip.pci import Cap, ExtCap
from vmcoredd.emu import AccessError, Card

VPD, MSI = pci.CAP_AT[Cap.VPD], pci.CAP_AT[Cap.MSI]
DEVCTL = pci.CAP_AT[Cap.EXP] + pci.EXP_DEVCTL


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


def u16(card: Card, offset: int) -> int:
    return int(struct.unpack("<H", card.config_read(offset, 2))[0])


def u32(card: Card, offset: int) -> int:
    return int(struct.unpack("<I", card.config_read(offset, 4))[0])


def capabilities(card: Card) -> Iterator[tuple[int, int]]:
    at = card.config[0x34]
    while at:
        yield card.config[at], at
        at = card.config[at + 1]


def read_vpd(card: Card, address: int) -> bytes:
    card.config_write(VPD + 2, struct.pack("<H", address))
    assert u16(card, VPD + 2) == address | 0x8000
    return card.config_read(VPD + 4, 4)


def test_the_header_identifies_the_card(card: Card) -> None:
    assert card.config[:4] == bytes.fromhex("25140d64")
    assert card.config[9:12] == bytes.fromhex("000002")


def test_capabilities_are_where_pcie_config_reads_them(card: Card) -> None:
    assert list(capabilities(card)) == [
        (Cap.PM, 0x40),
        (Cap.MSI, 0x50),
        (Cap.EXP, 0x70),
        (Cap.MSIX, 0xB0),
        (Cap.VPD, 0xD0),
    ]


def test_the_list_of_extended_capabilities_ends(card: Card) -> None:
    first = u32(card, 0x100)
    assert (first & 0xFFFF, first >> 20) == (ExtCap.ERR, pci.EXT_CAP_AT[ExtCap.DSN])
    assert u32(card, first >> 20) >> 20 == 0


def test_bar_sizes_can_be_probed(card: Card) -> None:
    for bar, size in card.bars.items():
        card.config_write(0x10 + 4 * bar, b"\xff" * 8)
        found = int.from_bytes(card.config_read(0x10 + 4 * bar, 8), "little")
        assert -(found & ~0xF) & (1 << 64) - 1 == size
        assert found & 0x7 == 0x4


def test_msi_has_one_vector_an_address_of_64_bits_and_no_mask(card: Card) -> None:
    card.config_write(MSI + 2, b"\xff" * 12)
    assert u16(card, MSI + 2) == 0x0081
    assert card.config_read(MSI + 4, 8) == b"\xfc" + b"\xff" * 7
    assert u16(card, MSI + 12) == 0xFFFF
    card.config_write(MSI + 14, b"\xff" * 10)
    assert card.config_read(MSI + 14, 10) == bytes(10)


def test_only_writable_bits_change(card: Card) -> None:
    card.config_write(0, b"\xff" * 64)
    assert card.config[:4] == bytes.fromhex("25140d64")
    assert u16(card, 4) == 0x0547
    assert card.config[0x3C] == 0xFF


@pytest.mark.parametrize(("offset", "length"), [(4096, 1), (4094, 4), (-1, 1), (0, 0)])
def test_an_access_past_the_end_is_refused(card: Card, offset: int, length: int) -> None:
    with pytest.raises(AccessError):
        card.config_read(offset, length)
    with pytest.raises(AccessError):
        card.config_write(offset, bytes(length))


def test_the_vpd_can_be_parsed_the_way_the_driver_does(card: Card) -> None:
    image = b"".join(read_vpd(card, a) for a in range(vpd.BASE, vpd.WINDOW_BYTES, 4))
    assert image[0] == vpd.TAG_ID_STRING
    length = int.from_bytes(image[1:3], "little")
    assert image[3 : 3 + length] == b"T62100-CR"
    at = 3 + length
    assert image[at] == vpd.TAG_READ_ONLY
    end = at + 3 + int.from_bytes(image[at + 1 : at + 3], "little")
    at += 3
    fields = {}
    while at < end:
        name, size = image[at : at + 2].decode(), image[at + 2]
        fields[name] = (at + 3, image[at + 3 : at + 3 + size])
        at += 3 + size
    assert {"SN", "PN", "NA", "RV"} <= set(fields)
    assert fields["PN"][1].strip() == b"110-1202-30"
    assert bytes.fromhex(fields["NA"][1].decode()) == card.scenario.identity.base_mac
    assert sum(image[: fields["RV"][0] + 1]) & 0xFF == 0
    assert image[end] == vpd.TAG_END


def test_the_vpd_version_is_where_the_driver_reads_it(card: Card) -> None:
    at = vpd.virtual_address(vpd.VERSION_ADDRESS, pci.PF)
    aligned = b"".join(read_vpd(card, at // 4 * 4 + i) for i in (0, 4))
    assert aligned[at % 4 : at % 4 + 2] == b"12"


def test_the_vpd_can_be_written_and_is_part_of_snapshots(card: Card) -> None:
    snapshot = card.snapshot()
    before = read_vpd(card, 0x40)
    card.config_write(VPD + 4, b"new!")
    card.config_write(VPD + 2, struct.pack("<H", 0x8040))
    assert u16(card, VPD + 2) == 0x0040
    assert read_vpd(card, 0x40) == b"new!"
    card.restore(snapshot)
    assert read_vpd(card, 0x40) == before


def test_vpd_past_the_window_reads_as_all_ones(card: Card) -> None:
    assert read_vpd(card, 0x7FFC & ~3) == b"\xff" * 4


def test_a_silent_vpd_never_sets_its_flag() -> None:
    card = Card.load("t62100-cr", faults=["vpd-silent"])
    card.config_write(VPD + 2, struct.pack("<H", 0x400))
    assert u16(card, VPD + 2) == 0x400


def test_configuration_space_reads_the_same_through_bar0(card: Card) -> None:
    request, data = card.chip.r.PCIE_CFG_SPACE_REQ, card.chip.r.PCIE_CFG_SPACE_DATA
    card.config_write(4, b"\x06\x01")
    for register in (0, 4, 0x70, 0x100):
        word = request.of(Enable=1, PF=pci.PF) | register
        card.write(request, word)
        assert card.read(data) == u32(card, register)


def test_other_functions_read_as_all_ones_through_bar0(card: Card) -> None:
    request, data = card.chip.r.PCIE_CFG_SPACE_REQ, card.chip.r.PCIE_CFG_SPACE_DATA
    card.write(request, request.of(Enable=1, PF=0))
    assert card.read(data) == 0xFFFFFFFF


def test_a_function_level_reset_undoes_writes(card: Card) -> None:
    card.config_write(4, b"\x06\x01")
    card.config_write(DEVCTL, struct.pack("<H", u16(card, DEVCTL) | 0x8000))
    assert u16(card, 4) == 0
    assert not u16(card, DEVCTL) & 0x8000


@pytest.mark.parametrize("name", ["t520-cr", "t580-cr", "t6225-cr"])
def test_every_card_has_its_own_id(name: str) -> None:
    card = Card.load(name)
    assert u16(card, 2) == card.profile.card.device_id
    assert u16(card, 2) >> 12 == card.chip.version


def test_the_link_supports_all_speeds_up_to_its_own(card: Card) -> None:
    """Without LNKCAP2, Linux calls the maximum speed of a slot unknown."""
    link = pci.ExpressCap.from_bytes(card.config[pci.CAP_AT[Cap.EXP] :])
    assert (link.lnkcap2, link.lnkctl2) == (0x0E, pci.LinkSpeed.GT_8_0)
