"""Layouts refuse mistakes that plain ctypes accepts."""

from __future__ import annotations

import pytest

from vmcoredd.chip.layout import (
    BigStruct,
    LayoutError,
    LittleStruct,
    i32,
    little_word,
    reserved,
    sizeof,
    u8,
    u16,
    u32,
    u64,
    word,
)


class Big(BigStruct):
    _fields_ = (
        *word("top:31:1 middle:8:8 low:0:4"),
        ("plain", u16),
        ("mac", u8 * 6),
        ("signed", i32),
        *reserved(4),
        ("wide", u64),
    )


class Little(LittleStruct):
    _fields_ = (*little_word("top:15:1 low:0:4", u16), *little_word("address:3:29 bar:0:3"))


def test_a_big_endian_word_has_its_highest_field_on_top() -> None:
    assert bytes(Big(top=1, middle=0xAB, low=5))[:4] == bytes.fromhex("8000ab05")


def test_a_little_endian_word_has_its_lowest_field_first() -> None:
    assert bytes(Little(top=1, low=5, address=1, bar=4)) == bytes.fromhex("0580 0000 0c000000")


def test_words_of_different_width_do_not_share_bits() -> None:
    assert Little.bar.offset == 4
    assert sizeof(Little) == 8


def test_a_value_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Big.middle: 256 is not in 0..255"):
        Big(middle=256)
    with pytest.raises(ValueError, match="plain"):
        Big(plain=-1)
    made = Big(signed=-1)
    with pytest.raises(ValueError, match="signed"):
        made.signed = 1 << 31


def test_an_unknown_field_is_refused_with_suggestions() -> None:
    with pytest.raises(AttributeError, match="Big has no field midle; did you mean middle"):
        Big(midle=1)


def test_bytes_read_back_and_too_few_are_refused() -> None:
    made = Big(top=1, mac=b"\0\x07\x43abc", wide=7)
    assert bytes(Big.from_bytes(bytes(made) + b"more")) == bytes(made)
    with pytest.raises(LayoutError, match=f"Big: need {sizeof(Big)} bytes, have 3") as caught:
        Big.from_bytes(b"abc")
    assert (caught.value.need, caught.value.have) == (sizeof(Big), 3)


def test_an_array_takes_exactly_its_number_of_values() -> None:
    assert bytes(Big(mac=range(6)).mac) == bytes(range(6))
    with pytest.raises(LayoutError, match=r"Big\.mac: need 6 bytes, have 5"):
        Big(mac=b"12345")


def test_fields_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap at bit 8"):
        word("a:8:8 b:4:8")


def test_names_and_repr_leave_reserved_bits_out() -> None:
    assert Big.names() == ("top", "middle", "low", "plain", "mac", "signed", "wide")
    assert repr(Big(top=1, mac=b"abcdef")) == "Big(top=0x1, mac=616263646566)"


def test_a_subclass_appends_its_fields() -> None:
    class More(Big):
        _fields_ = (("tail", u32),)

    assert sizeof(More) == sizeof(Big) + 8
    assert More(top=1, tail=2).tail == 2


@pytest.mark.parametrize("base", [BigStruct, LittleStruct])
def test_an_array_checks_its_number_of_values_in_either_byte_order(base) -> None:
    class Words(base):
        _fields_ = (("words", u32 * 2),)

    made = Words()
    made.words = (1, 2)
    assert list(made.words) == [1, 2]
    assert bytes(made) == b"".join(
        n.to_bytes(4, "big" if base is BigStruct else "little") for n in (1, 2)
    )
    with pytest.raises(LayoutError, match="need 2 bytes, have 3"):
        made.words = (1, 2, 3)
