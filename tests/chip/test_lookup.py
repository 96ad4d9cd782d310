"""Entries of the lookup engine, and control blocks: there and back again."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.chip import tcb
from vmcoredd.chip.le import FILTER_TUPLE, LookupEntry, clip_address, clip_words

PORTS = st.integers(0, 0xFFFF)
TUPLES = st.integers(0, (1 << 64) - 1)


def addresses(version: int) -> st.SearchStrategy[bytes]:
    return st.ip_addresses(v=version).map(lambda address: address.packed)


@given(st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(addresses(v), addresses(v))), TUPLES)
def test_an_entry_is_read_as_it_was_written(pair: tuple[bytes, bytes], value: int) -> None:
    entry = LookupEntry(pair[0], pair[1], 40000, 80, value)
    words = entry.words()
    assert len(words) == 17
    assert LookupEntry.of_words(words) == entry


def test_an_ipv6_connection_is_what_the_driver_takes_for_one() -> None:
    one, two = (ipaddress.ip_address(text).packed for text in ("2001:db8::1", "2001:db8::2"))
    protocol = next(field for field in FILTER_TUPLE if field.name == "protocol")
    words = LookupEntry(one, two, 1, 2, protocol.put(6)).words()
    assert words[16] & 0x8000
    assert words[9] == 0x00C00000


def test_the_filter_tuple_of_an_ipv4_entry_is_where_the_driver_reads_its_mask() -> None:
    words = LookupEntry(bytes(4), bytes(4), filter_tuple=0x1_2345_6789).words()
    assert words[3:5] == (0x23456789, 1)
    assert not words[16]


@given(addresses(6))
def test_a_local_address_is_read_as_it_was_written(address: bytes) -> None:
    assert clip_address(clip_words(address)) == address


@pytest.mark.parametrize("layout", [tcb.TCP, tcb.FILTER], ids=["tcp", "filter"])
def test_fields_of_a_control_block_do_not_overlap(layout: tuple[tcb.Field, ...]) -> None:
    top = 8 * tcb.BYTES
    for field in layout:
        assert field.shift + field.width <= top
        top = field.shift


@given(state=st.sampled_from(tcb.TcpState), window=st.integers(0, (1 << 28) - 1))
def test_a_control_block_is_read_as_it_was_written(state: tcb.TcpState, window: int) -> None:
    block = tcb.encode(tcb.TCP, t_state=state, rcv_wnd=window)
    assert len(block) == 128
    fields = tcb.decode(tcb.TCP, block)
    assert (fields["t_state"], fields["rcv_wnd"]) == (state, window)
    assert sum(fields.values()) == state + window
