"""PCIE_CONFIG, VPD_DATA: configuration space and vital product data."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from carddump import CARDS, collect, small
from ramcard import RamCard
from ramdump import codes, dumped

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.decoded import Fields
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError

# PCIE_CONFIG

REQUEST, DATA = 0x3060, 0x3064  # PCIE_CFG_SPACE_REQ, _DATA
ENABLE = {T5: 1 << 30, T6: 1 << 31}
FUNCTION = 4 << 12
RANGES = (
    (0x00, 0x34), (0x3C, 0x40), (0x50, 0x64), (0x70, 0x80), (0x94, 0xA0), (0xB0, 0xB8),
    (0xD0, 0xD4), (0x100, 0x128), (0x140, 0x148), (0x150, 0x164), (0x170, 0x178),
    (0x180, 0x194), (0x1A0, 0x1B8), (0x1C0, 0x208),
)  # fmt: skip
OFFSETS = [offset for first, last in RANGES for offset in range(first, last + 4, 4)]


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_91_words_of_function_4_are_requested_and_each_request_is_cleared(chip: Chip) -> None:
    card, seen = RamCard(), []

    def request(value: int) -> None:
        seen.append(value)
        card.put(DATA, value & 0xFFF)

    card.on_write[REQUEST] = request
    entity, blob = dumped(card, chip, "PCIE_CONFIG")
    assert seen[::2] == [ENABLE[chip] | FUNCTION | offset for offset in OFFSETS]
    assert set(seen[1::2]) == {0}
    assert u32s(blob) == (*OFFSETS, *[0] * 6)
    assert entity.counts.total == 3 * 91


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_the_words_are_those_of_configuration_space(chip: Chip) -> None:
    made = collect(small(chip), entities=("PCIE_CONFIG",))
    config = u32s(made.card.config)
    rows = made.table("PCIE_CONFIG")
    assert [row["offset"] for row in rows] == OFFSETS
    assert [row["value"] for row in rows] == [config[offset // 4] for offset in OFFSETS]
    assert rows[0]["value"] == made.card.profile.card.device_id << 16 | 0x1425


# VPD_DATA

ENTITY = entities()["VPD_DATA"]
CAP = 0xD0
SF_DATA, SF_OP, SPARE2 = 0x193F8, 0x193FC, 0x5BFC
VERSION_AT = 0x4C7


def resource(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + len(content).to_bytes(2, "little") + content


def keyword(name: bytes, content: bytes) -> bytes:
    return name + bytes([len(content)]) + content


def image(name: bytes = b"Card", *fields: bytes, checksum: int = 0, base: int = 0x400) -> bytearray:
    """Returns 2 KiB of vital product data at `base`; the checksum is off by `checksum`."""
    fields = fields or (keyword(b"PN", b"P1"), keyword(b"SN", b"S1"), keyword(b"NA", b"0007430000"))
    content = b"".join(fields) + b"RV\x01"
    head = resource(0x82, name) + bytes([0x90]) + (len(content) + 1).to_bytes(2, "little") + content
    data = bytearray(2048)
    data[base : base + len(head)] = head
    data[base + len(head)] = (checksum - sum(head)) & 0xFF
    data[VERSION_AT : VERSION_AT + 2] = b"12"
    return data


class Card(RamCard):
    """VPD and flash behind their protocols."""

    def __init__(self, vpd: bytearray | None = None) -> None:
        super().__init__()
        self.vpd = image() if vpd is None else vpd
        self.config[0x34] = CAP
        self.config[CAP] = 0x03
        self.fetches = True
        self.put(SPARE2, 0xABCD)
        self.on_write[SF_OP] = self._shift

    def config_write(self, offset: int, data: bytes) -> None:
        super().config_write(offset, data)
        if offset == CAP and self.fetches:
            address = int.from_bytes(self.config[CAP + 2 : CAP + 4], "little")
            self.config[CAP + 3] |= 0x80
            self.config[CAP + 4 : CAP + 8] = self.vpd[address : address + 4]

    def _shift(self, op: int) -> None:
        self.put(SF_OP, 0)
        self.put(SF_DATA, 0x011B0500 if op == 0x16 else self.word(SF_DATA))


def collected(card: RamCard) -> dict[str, bytes]:
    entity, blob = dumped(card, T6, "VPD_DATA")
    assert codes(entity) == (0, 0, 0)
    return {
        "sn": blob[:25],
        "bn": blob[25:42],
        "na": blob[42:55],
        "mn": blob[55:72],
        "rest": blob[72:],
    }


def test_vpd_data_holds_texts_versions_and_the_configuration() -> None:
    found = collected(Card())
    assert (found["mn"][:5], found["sn"][:3], found["bn"][:3]) == (b"Card\0", b"S1\0", b"P1\0")
    assert found["rest"] == b"".join(
        (
            *(n.to_bytes(2, "little") for n in (1, 27, 5, 0)),
            (0xABCD).to_bytes(4, "little"),
            (12).to_bytes(4, "little"),
        )
    )


def test_vpd_data_makes_14_accesses() -> None:
    entity, _ = dumped(Card(), T6, "VPD_DATA")
    assert (entity.counts.r32, entity.counts.w32) == (9, 5)


def test_vpd_data_cuts_texts_and_replaces_only_the_first_blank_after_them() -> None:
    fields = (
        keyword(b"PN", b"part   "),
        keyword(b"SN", b"s" * 30),
        keyword(b"NA", b"000743123456EXTRA"),
    )
    found = collected(Card(image(b"   ", *fields)))
    assert found["bn"][:8] == b"part\0  \0"
    assert found["sn"] == b"s" * 24 + b"\0"
    assert found["na"] == b"000743123456\0"
    assert found["mn"][:4] == b"\0  \0"


def test_vpd_data_of_an_early_card_start_at_0() -> None:
    assert collected(Card(image(b"Old", base=0)))["mn"][:4] == b"Old\0"


def without_capability(card: Card) -> None:
    card.config[0x34] = 0


def silent(card: Card) -> None:
    card.fetches = False


def busy_flash(card: Card) -> None:
    card.put(SF_OP, 1 << 31)


def slow_flash(card: Card) -> None:
    card.on_write[SF_OP] = lambda op: card.put(SF_OP, 1 << 31)


def no_digits(card: Card) -> None:
    card.vpd[VERSION_AT : VERSION_AT + 2] = b"zz"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (without_capability, -errno.ENODEV),
        (silent, -errno.ETIMEDOUT),
        (busy_flash, -errno.EBUSY),
        (slow_flash, -errno.EAGAIN),
        (no_digits, -errno.EINVAL),
    ],
)
def test_vpd_data_fails_with_the_plain_code(spoil: Callable[[Card], None], code: int) -> None:
    card = Card()
    spoil(card)
    assert codes(dumped(card, T6, "VPD_DATA")[0]) == (code, 0, 0)


@pytest.mark.parametrize(
    ("vpd", "code"),
    [
        (bytearray(2048), -errno.ENOENT),
        (image(checksum=1), -errno.EINVAL),
        (image(b"x", keyword(b"SN", b"1"), keyword(b"NA", b"0")), -errno.ENOENT),
        (image(b"x", keyword(b"PN", b"1"), keyword(b"NA", b"0")), -errno.ENOENT),
    ],
    ids=["nothing", "wrong checksum", "no part number", "no serial number"],
)
def test_vpd_data_refuses_incomplete_vital_product_data(vpd: bytearray, code: int) -> None:
    assert codes(dumped(Card(vpd), T6, "VPD_DATA")[0]) == (code, 0, 0)


@pytest.mark.parametrize(
    ("digits", "number"), [(b"07", 7), (b"0\0", 0), (b"9\n", 9), (b"+5", 5), (b"17", 17)]
)
def test_vpd_data_accepts_the_version_in_cs_notation(digits: bytes, number: int) -> None:
    vpd = image()
    vpd[VERSION_AT : VERSION_AT + 2] = digits
    assert int.from_bytes(collected(Card(vpd))["rest"][12:16], "little") == number


@pytest.mark.parametrize("digits", [b"08", b"-1", b" 1", b"0x", b"1 ", b"\0\0"])
def test_vpd_data_refuses_a_version_that_is_not_a_number(digits: bytes) -> None:
    vpd = image()
    vpd[VERSION_AT : VERSION_AT + 2] = digits
    assert codes(dumped(Card(vpd), T6, "VPD_DATA")[0]) == (-errno.EINVAL, 0, 0)


def test_vpd_data_decodes_to_the_cards_names() -> None:
    _, blob = dumped(Card(), T6, "VPD_DATA")
    (part,) = ENTITY.decode(blob, T6)
    assert isinstance(part, Fields)
    values = {item.name: item.value for item in part.items}
    assert (values["model"], values["serial number"], values["firmware"]) == (
        "Card",
        "S1",
        "1.27.5.0",
    )


def test_vpd_data_refuses_another_size() -> None:
    with pytest.raises(DumpFormatError, match="VPD_DATA: need 88 bytes, have 87"):
        ENTITY.decode(bytes(87), T6)
