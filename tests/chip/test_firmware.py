"""Mailbox messages: driver and firmware read each other's commands and replies."""

from __future__ import annotations

import pytest

from vmcoredd.chip.firmware import (
    MAILBOX_BYTES,
    Bye,
    CapsConfig,
    DebugAssert,
    DebugPrint,
    Dev,
    Dmaq,
    FwCommand,
    Hello,
    Ldst,
    LdstAddress,
    LdstContext,
    LdstMpsReplication,
    LdstSpace,
    Op,
    Params,
    Pf,
    PortAction,
    PortInfo32,
    PtpInit,
    PtpTime,
    Retval,
    RssIndTbl,
    Vi,
    ViMacExact,
    ViMacHash,
    command_of,
    param,
    param_name,
)
from vmcoredd.chip.layout import LayoutError, sizeof

COMMANDS = {kind.OPCODE: kind for kind in reversed(FwCommand.__subclasses__())}.values()
"""Every command; if it has several layouts, the first one, which selects the others."""


def test_a_request_carries_opcode_length_and_the_request_bit() -> None:
    hello = Hello(write=1, mbmaster=4, masterforce=1)
    assert bytes(hello) == bytes.fromhex("04a00000 00000001 14000000 00000000")


def test_the_kernels_own_hello_is_understood() -> None:
    message = bytes.fromhex("04a00000 00000001 14410000 00000000").ljust(MAILBOX_BYTES, b"\0")
    hello = command_of(message)
    assert isinstance(hello, Hello)
    assert (hello.masterforce, hello.mbmaster, hello.mbasyncnot, hello.clearinit) == (1, 4, 4, 1)


def test_a_reply_is_the_request_with_a_return_value() -> None:
    answer = Bye(write=1).reply(Retval.EBUSY)
    assert (answer.op, answer.request, answer.retval) == (Op.BYE, 0, 16)
    assert bytes(answer)[6] == 16


def test_an_unknown_opcode_gives_none_and_half_a_command_is_refused() -> None:
    assert command_of(bytes([0x77]) + bytes(63)) is None
    with pytest.raises(LayoutError, match="mailbox command: need 8 bytes, have 7"):
        command_of(bytes(7))
    with pytest.raises(LayoutError, match="CapsConfig: need 48 bytes, have 47"):
        command_of(bytes(CapsConfig())[:47])


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_a_command_fits_the_mailbox_in_units_of_16_bytes(kind: type[FwCommand]) -> None:
    assert sizeof(kind) % 16 == 0
    assert 16 <= sizeof(kind) <= MAILBOX_BYTES
    assert kind().len16 * 16 == sizeof(kind)


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
def test_a_command_that_is_sent_is_understood_as_its_own_class(kind: type[FwCommand]) -> None:
    sent = kind()
    found = command_of(bytes(sent).ljust(MAILBOX_BYTES, b"\0"))
    assert found is not None
    assert found.op == kind.OPCODE
    assert bytes(found)[: sizeof(kind)] == bytes(sent)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (Ldst(addrspace=LdstSpace.TP_PIO), LdstAddress),
        (Ldst(addrspace=LdstSpace.SGE_EGRC), LdstContext),
        (Ldst(addrspace=LdstSpace.MPS), LdstMpsReplication),
        (Ldst(addrspace=0x7F), Ldst),
        (PortInfo32(action=PortAction.GET_PORT_INFO32), PortInfo32),
        (ViMacExact(), ViMacExact),
        (ViMacHash(entry_type=1), ViMacHash),
        (PtpTime(sc=0x15), PtpTime),
        (PtpInit(sc=0x01), PtpInit),
        (DebugAssert(type=0), DebugAssert),
        (DebugAssert(type=1), DebugPrint),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_operands_select_the_layout_of_a_command(
    sent: FwCommand, kind: type[FwCommand]
) -> None:
    assert type(command_of(bytes(sent))) is kind


def test_parameters_are_requested_by_name_and_answered_in_place() -> None:
    ask = Params.reading([param(Dev.CCLK), param(Pf.EQ_START)], pfn=4)
    heard = Params.from_bytes(bytes(ask))
    assert [param_name(each.mnem) for each in heard.asked] == ["DEV.CCLK", "PFVF.EQ_START"]
    heard.asked[0].val = 250_000
    assert heard.param[0].val == 250_000
    assert (heard.read, heard.write, heard.pfn) == (1, 0, 4)


def test_seven_parameters_fit_a_command_and_eight_do_not() -> None:
    assert len(Params.reading([param(Dev.CCLK)] * 7).asked) == 7
    with pytest.raises(ValueError, match="8 parameters: a command holds 7"):
        Params.writing([(param(Dev.CCLK), 1)] * 8)


def test_a_parameters_name_has_its_operands_and_an_unknown_one_is_a_number() -> None:
    assert param(Dev.DIAG, 2) == 0x01110200
    assert param_name(0x01110200) == "DEV.DIAG[y=2]"
    assert param_name(param(Dmaq.CONM_CTXT, 4, 1)) == "DMAQ.CONM_CTXT[y=4 z=1]"
    assert param_name(0x01FF0000) == "0x01ff0000"
    with pytest.raises(ValueError, match="are bytes"):
        param(Dev.DIAG, 256)


def test_rq_start_keeps_the_unusual_number_of_linux() -> None:
    assert (Pf.RQ_START, Pf.RQ_END) == (0x1F, 0x10)


def test_the_mac_address_of_a_virtual_interface_is_in_bytes_10_to_15() -> None:
    vi = Vi(mac=bytes.fromhex("000743abcdef"), rsssize=128, viid=0x123)
    assert bytes(vi)[10:16].hex() == "000743abcdef"
    assert bytes(vi)[8:10] == bytes.fromhex("0123")
    assert bytes(vi)[24:26] == bytes([0, 128])


def test_a_word_of_a_slice_holds_three_queues() -> None:
    table = RssIndTbl(niqid=4, iq0=1, iq1=2, iq2=3, iq3=1023)
    assert bytes(table)[16:24] == bytes.fromhex("00100803 3ff00000")
    assert table.queues == [1, 2, 3, 1023]
