"""MBOX_LOG: what the driver remembers of its commands."""

from __future__ import annotations

import struct

import pytest
from carddump import rows
from ramcard import RamCard
from ramdump import dumped

from vmcoredd.chip import T6
from vmcoredd.chip.firmware import Op
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.hw.device import MailboxEntry

ENTITY = entities()["MBOX_LOG"]
HELLO = MailboxEntry((Op.HELLO << 56 | 5, 2, 3, 4, 5, 6, 7, 8), 1000, 7, access=-2, execute=12)


def test_mbox_log_is_empty_before_the_first_command() -> None:
    entity, blob = dumped(RamCard(16), T6, "MBOX_LOG")
    assert (entity.counts.total, blob) == (0, bytes(256 * 144))


def test_mbox_log_holds_a_command_with_its_words_once_more_as_halves() -> None:
    _, blob = dumped(RamCard(16), T6, "MBOX_LOG", mailbox_log=[HELLO])
    assert struct.unpack_from("<8QQIhh", blob) == (*HELLO.words, 1000, 7, -2, 12)
    assert struct.unpack_from("<8I", blob, 80) == (Op.HELLO << 24, 0, 0, 0, 0, 0, 0, 0)
    assert struct.unpack_from("<8I", blob, 112) == (5, 2, 3, 4, 5, 6, 7, 8)
    assert not any(blob[144:])


def test_mbox_log_leaves_unused_entries_out_and_keeps_the_last_256() -> None:
    unused = MailboxEntry((0,) * 8, 0, 0, 0, 0)
    many = [MailboxEntry((0,) * 8, 1, seqno, 0, 0) for seqno in range(300)]
    _, blob = dumped(RamCard(16), T6, "MBOX_LOG", mailbox_log=[unused, *many])
    seqnos = [struct.unpack_from("<I", blob, 144 * i + 72)[0] for i in range(256)]
    assert seqnos == list(range(44, 300))


def test_mbox_log_decodes_the_commands_that_there_are() -> None:
    _, blob = dumped(RamCard(16), T6, "MBOX_LOG", mailbox_log=[HELLO])
    (row,) = rows(ENTITY.decode(blob, T6))
    assert (row["seqno"], row["command"], row["access ms"], row["execute ms"]) == (
        7,
        "HELLO",
        -2,
        12,
    )


@pytest.mark.parametrize("size", [36863, 36865])
def test_mbox_log_refuses_another_size(size: int) -> None:
    with pytest.raises(DumpFormatError, match="MBOX_LOG: need 36864"):
        ENTITY.decode(bytes(size), T6)
