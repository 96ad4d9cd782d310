"""Configuration space: capabilities, and the vital product data of a card."""

from __future__ import annotations

import pytest
from ramspace import RamSpace

from vmcoredd.chip import vpd
from vmcoredd.chip.pci import Cap
from vmcoredd.hw.errors import DeviceError
from vmcoredd.hw.pci import CardVpd, card_vpd, find_capability, read_vpd, text, update_register

VPD_AT = 0xD0


# Configuration space


def capabilities(*chain: tuple[int, Cap], loop: bool = False) -> RamSpace:
    """A space with these capabilities, by offset, linked in this order."""
    space = RamSpace({0x34: chain[0][0] if chain else 0})
    following = [at for at, _ in chain[1:]] + [chain[0][0] if loop else 0] * bool(chain)
    for (at, cap), then in zip(chain, following, strict=True):
        space.words[at] = then << 8 | cap
    return space


def test_a_capability_is_found_if_it_is_in_the_chain() -> None:
    space = capabilities((0x40, Cap.PM), (0x70, Cap.EXP))
    assert find_capability(space, Cap.EXP) == 0x70
    assert find_capability(space, Cap.VPD) is None
    assert find_capability(capabilities(), Cap.PM) is None


def test_a_circular_chain_of_capabilities_ends_the_search() -> None:
    assert find_capability(capabilities((0x40, Cap.PM), loop=True), Cap.VPD) is None


def test_a_status_register_beside_a_control_register_gets_zeros() -> None:
    space = RamSpace({4: 0xF9000007})
    update_register(space, 4, clear=0x1, set_=0x400)
    assert space.words[4] == 0x406


# Vital product data


def vpd_space(data: bytes) -> RamSpace:
    """A capability that fetches words of these 2 KiB."""
    space = RamSpace()

    def fetch(value: int) -> None:
        address = value >> 16
        space.words[VPD_AT + 4] = int.from_bytes(data[address : address + 4], "little")
        space.words[VPD_AT] = value | 1 << 31

    space.on_write[VPD_AT] = fetch
    return space


def keyword(name: str, content: bytes) -> bytes:
    return name.encode() + bytes([len(content)]) + content


def card(*fields: bytes, wrong_by: int = 0) -> bytes:
    """2 KiB with an identifier, these keywords, and a checksum."""
    content = b"".join(fields) + b"RV\x01"
    head = bytes([vpd.TAG_ID_STRING, 4, 0]) + b"Card"
    head += bytes([vpd.TAG_READ_ONLY]) + (len(content) + 1).to_bytes(2, "little") + content
    image = head + bytes([(wrong_by - sum(head)) & 0xFF])
    return (bytes(vpd.BASE) + image).ljust(vpd.WINDOW_BYTES, b"\0")


FIELDS = (keyword("PN", b"P1 "), keyword("SN", b"S1"), keyword("NA", b"000743000000"))


def test_a_cards_strings_are_found() -> None:
    found = card_vpd(vpd_space(card(*FIELDS)), VPD_AT)
    assert found == CardVpd(
        id=b"Card".ljust(17, b"\0"),
        serial=b"S1".ljust(25, b"\0"),
        part=b"P1\0".ljust(17, b"\0"),
        mac=b"000743000000\0",
    )
    assert text(found.part) == "P1"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_keyword_is_refused(missing: int) -> None:
    fields = [field for i, field in enumerate(FIELDS) if i != missing]
    with pytest.raises(DeviceError, match=r"vital product data: no (PN|SN|NA): -ENOENT"):
        card_vpd(vpd_space(card(*fields)), VPD_AT)


def test_a_wrong_checksum_is_refused() -> None:
    with pytest.raises(DeviceError, match="wrong checksum: -EINVAL"):
        card_vpd(vpd_space(card(*FIELDS, wrong_by=1)), VPD_AT)


def test_no_capability_is_refused() -> None:
    with pytest.raises(DeviceError, match="no vital product data: -ENODEV"):
        read_vpd(RamSpace(), None, 0, 4)


def test_reading_ends_with_the_data() -> None:
    space = vpd_space(bytes(range(256)) * 8)
    assert read_vpd(space, VPD_AT, 3, 4) == bytes([3, 4, 5, 6])
    assert read_vpd(space, VPD_AT, 2046, 8) == bytes([254, 255])
    assert read_vpd(space, VPD_AT, 4096, 8) == b""
