"""Transceiver modules, as a driver reads them through the firmware."""

from __future__ import annotations

import pytest
from emumail import Mailbox

from vmcoredd.chip.firmware import LdstI2c, LdstSpace, PortAction, PortInfo32, PortModule, Retval
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.transceiver import (
    BASE_DEVICE,
    DIAGNOSTICS_DEVICE,
    PAGE_BYTES,
    Identifier,
    Qsfp,
    Sfp,
    SfpDiagnostics,
    checksum,
)
from vmcoredd.emu import Card, profiles


def read(mail: Mailbox, port: int, device: int = BASE_DEVICE) -> bytes:
    """Reads a device in pieces of up to 48 bytes, as t4_i2c_rd() does."""
    found = b""
    while len(found) < PAGE_BYTES:
        count = min(PAGE_BYTES - len(found), 48)
        reply = mail.do(request(pid=port, did=device, boffset=len(found), blen=count))
        found += bytes(reply.data[:count])
    return found


def request(**values: int) -> LdstI2c:
    return LdstI2c(read=1, addrspace=LdstSpace.I2C, **values)


def text(field: object) -> str:
    return bytes(field).decode().rstrip()  # type: ignore[call-overload]


@pytest.mark.parametrize("layout", [Sfp, SfpDiagnostics, Qsfp])
def test_a_layout_is_a_page(layout: type) -> None:
    assert sizeof(layout) == PAGE_BYTES


@pytest.mark.parametrize("name", profiles())
def test_checksums_are_right_and_the_module_is_of_the_kind_that_the_port_reports(name: str) -> None:
    card = Card.load(name)
    mail = Mailbox(card)
    info = mail.do(PortInfo32(read=1, action=PortAction.GET_PORT_INFO32))
    data = read(mail, 0)
    cable = info.modtype32 in (PortModule.TWINAX_PASSIVE, PortModule.TWINAX_ACTIVE)
    if data[0] == Identifier.SFP:
        assert (data[63], data[95]) == (checksum(data[:63]), checksum(data[64:95]))
        assert bool(data[8] & 0x0C) == cable
        assert (data[92] >> 6 & 1, data[94] > 0) == (not cable, not cable)
    else:
        assert (data[191], data[223]) == (checksum(data[128:191]), checksum(data[192:223]))
        assert (data[147] >> 4 >= 0xA) == cable
    assert (data[0] == Identifier.SFP) == card.profile.ports.type.startswith("SFP")


def test_the_modules_of_a_card_differ_in_their_serial_number_alone() -> None:
    mail = Mailbox(Card.load("t62100-cr", seed=5))
    one, two = (Qsfp.from_bytes(read(mail, port)) for port in (0, 1))
    assert text(one.vendor_name) == "CHELSIO"
    assert text(one.vendor_pn) == text(two.vendor_pn) == "QTAPCABLE28-3M"
    assert text(one.vendor_sn) != text(two.vendor_sn)


def test_an_optic_has_diagnostics_between_their_limits() -> None:
    page = SfpDiagnostics.from_bytes(read(Mailbox(Card.load("t520-cr")), 1, DIAGNOSTICS_DEVICE))
    assert page.cc_dmi == checksum(bytes(page)[:95])
    for name in ("voltage", "bias", "tx_power", "rx_power"):
        high, low, warn_high, warn_low = getattr(page, f"{name}_limits")
        assert low < warn_low < getattr(page, name) < warn_high < high
    assert page.temperature / 256 == 38


def test_reading_goes_around_at_the_end_of_a_device() -> None:
    mail = Mailbox(Card.load("t520-cr"))
    data = read(mail, 0)
    reply = mail.do(request(did=BASE_DEVICE, boffset=250, blen=12))
    assert bytes(reply.data[:12]) == data[250:] + data[:6]


def test_what_is_not_there_is_refused() -> None:
    mail = Mailbox(Card.load("t6225-cr"))
    assert mail.call(request(did=DIAGNOSTICS_DEVICE, blen=1)).retval == Retval.EIO
    assert mail.call(request(pid=2, did=BASE_DEVICE, blen=1)).retval == Retval.EINVAL
    assert mail.call(request(did=BASE_DEVICE, blen=49)).retval == Retval.EINVAL


def test_a_port_without_a_cage_has_no_module() -> None:
    mail = Mailbox(Card.load("t520-cr", ports={"type": "BT_XFI"}))
    assert mail.do(PortInfo32(read=1, action=PortAction.GET_PORT_INFO32)).modtype32 == PortModule.NA
    assert mail.call(request(did=BASE_DEVICE, blen=1)).retval == Retval.EIO
