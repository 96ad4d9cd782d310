"""MSI-X: masks, pending bits, and what the host listens to; MSI and INTx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_host import (
    COMMAND,
    ENABLE,
    FUNCTION_MASK,
    INTX_DISABLE,
    MASTER,
    MSI_CONTROL,
    MSI_ENABLE,
    MSIX_CONTROL,
    PM_CONTROL,
    Listener,
    plug,
    put,
)

from vmcoredd.emu import Card

VECTOR = 37
TABLE_ENTRY, CONTROL, MASKED = 16, 12, b"\1\0\0\0"
PBA, STATUS = 0x1000, 0x06


@pytest.fixture
def host() -> Listener:
    return Listener(VECTOR)


@pytest.fixture
def card(host: Listener) -> Iterator[Card]:
    """A card whose host lets it interrupt."""
    card = Card.load("t62100-cr")
    plug(card, host)
    yield card
    card.engine.detach()


def interrupt(card: Card, vector: int = VECTOR) -> None:
    card.engine.interrupt(vector)


def is_pending(card: Card, vector: int = VECTOR) -> bool:
    return bool(card.bar_read(4, PBA + vector // 32 * 4, 4)[vector % 32 // 8] >> vector % 8 & 1)


def is_asserted(card: Card) -> bool:
    """Interrupt Status, bit 3 of PCI STATUS."""
    return bool(card.config_read(STATUS, 2)[0] & 8)


def mask(card: Card, masked: bytes) -> None:
    card.bar_write(4, VECTOR * TABLE_ENTRY + CONTROL, masked)


def test_the_host_gets_a_vector_that_it_listens_to(card: Card, host: Listener) -> None:
    interrupt(card)
    assert (host.got, is_pending(card)) == ([VECTOR], False)


def test_a_vector_without_a_listener_is_pending_until_there_is_one(
    card: Card, host: Listener
) -> None:
    host.listens.clear()
    interrupt(card)
    interrupt(card)
    assert (host.got, is_pending(card)) == ([], True)
    host.listens.add(VECTOR)
    card.engine.run()
    assert (host.got, is_pending(card)) == ([VECTOR], False)


def test_a_masked_vector_is_pending_until_it_is_unmasked(card: Card, host: Listener) -> None:
    mask(card, MASKED)
    interrupt(card)
    card.engine.run()
    assert (host.got, is_pending(card)) == ([], True)
    mask(card, bytes(4))
    assert (host.got, is_pending(card)) == ([VECTOR], False)


def test_a_mask_is_of_one_vector(card: Card, host: Listener) -> None:
    host.listens.add(VECTOR + 1)
    mask(card, MASKED)
    interrupt(card, VECTOR + 1)
    assert host.got == [VECTOR + 1]


@pytest.mark.parametrize(
    ("offset", "closed", "open_"),
    [
        (MSIX_CONTROL, ENABLE | FUNCTION_MASK, ENABLE),
        (COMMAND, 0, MASTER),
    ],
    ids=["function mask", "bus master"],
)
def test_a_vector_waits_for_configuration_space(
    card: Card, host: Listener, offset: int, closed: int, open_: int
) -> None:
    put(card, offset, closed)
    interrupt(card)
    assert (host.got, is_pending(card)) == ([], True)
    put(card, offset, open_)
    assert (host.got, is_pending(card)) == ([VECTOR], False)


def test_without_power_there_is_no_interrupt_and_power_resets_the_function(
    card: Card, host: Listener
) -> None:
    put(card, PM_CONTROL, 3)
    interrupt(card)
    assert host.got == []
    put(card, PM_CONTROL, 0)
    assert card.config_read(COMMAND, 2) == bytes(2)
    assert not is_pending(card)


def test_the_host_cannot_write_pending_bits(card: Card, host: Listener) -> None:
    host.listens.clear()
    interrupt(card)
    card.bar_write(4, PBA, bytes(16))
    assert is_pending(card)
    card.bar_write(4, PBA, b"\xff" * 16)
    assert not is_pending(card, VECTOR + 1)


def test_a_vector_that_does_not_exist_is_reported(
    card: Card, host: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt(card, 128)
    assert host.got == []
    assert "refuses vector 128" in caplog.text


def test_without_msix_every_vector_is_intx(card: Card, host: Listener) -> None:
    put(card, MSIX_CONTROL, 0)
    host.listens = {0}
    interrupt(card)
    assert (host.got, is_pending(card), is_asserted(card)) == ([0], False, True)


@pytest.mark.parametrize("base", ["MYPF_PCIE_PF_CLI", "PCIE_PF_CLI"])
def test_intx_is_asserted_until_the_driver_takes_it_back(
    card: Card, host: Listener, base: str
) -> None:
    put(card, MSIX_CONTROL, 0)
    host.listens = {0}
    assert not is_asserted(card)
    interrupt(card)
    put(card, STATUS, 0xFFFF)  # is no way to take it back
    assert is_asserted(card)
    register = card.chip.r[base]
    card.write(register if base.startswith("MYPF") else register[3], 0)
    assert is_asserted(card) == (base == "PCIE_PF_CLI")  # which is another function's
    card.write(card.chip.r.PCIE_PF_CLI[4], 0)
    assert not is_asserted(card)
    interrupt(card)
    assert (host.got, is_asserted(card)) == ([0, 0], True)


@pytest.mark.parametrize("why", ["disabled", "not listened to"])
def test_an_intx_that_the_host_does_not_hear_waits(card: Card, host: Listener, why: str) -> None:
    put(card, MSIX_CONTROL, 0)
    put(card, COMMAND, MASTER | (INTX_DISABLE if why == "disabled" else 0))
    host.listens = {0} if why == "disabled" else set()
    interrupt(card)
    card.engine.run()
    assert (host.got, is_asserted(card)) == ([], True)
    host.listens = {0}
    put(card, COMMAND, MASTER)
    assert host.got == [0]
    card.engine.run()
    assert host.got == [0]


@pytest.mark.parametrize("how", ["MSI-X", "MSI", "reset"])
def test_intx_is_not_asserted_after_msi_msix_or_a_reset(
    card: Card, host: Listener, how: str
) -> None:
    put(card, MSIX_CONTROL, 0)
    interrupt(card)
    assert is_asserted(card)
    if how == "reset":
        card.reset()
    elif how == "MSI":
        put(card, MSI_CONTROL, MSI_ENABLE)
    else:
        put(card, MSIX_CONTROL, ENABLE)
    assert not is_asserted(card)
    host.listens = {0}
    card.engine.run()
    assert host.got == []


def test_msix_leaves_the_status_alone(card: Card, host: Listener) -> None:
    interrupt(card)
    assert (host.got, is_asserted(card)) == ([VECTOR], False)


def test_a_disabled_intx_is_silent(card: Card, host: Listener) -> None:
    put(card, MSIX_CONTROL, 0)
    put(card, COMMAND, MASTER | INTX_DISABLE)
    host.listens = {0}
    interrupt(card)
    assert host.got == []


@pytest.fixture
def with_msi(card: Card, host: Listener) -> Card:
    """The card with MSI on, whose one vector the host listens to."""
    put(card, MSIX_CONTROL, 0)
    put(card, MSI_CONTROL, MSI_ENABLE)
    host.listens = {0}
    return card


def test_with_msi_every_vector_is_its_one_and_no_line_is_asserted(
    with_msi: Card, host: Listener
) -> None:
    put(with_msi, COMMAND, MASTER | INTX_DISABLE)
    interrupt(with_msi)
    interrupt(with_msi, 0)
    assert (host.got, is_pending(with_msi), is_asserted(with_msi)) == ([0, 0], False, False)


@pytest.mark.parametrize("why", ["bus master", "not listened to"])
def test_an_msi_that_the_host_cannot_get_waits(with_msi: Card, host: Listener, why: str) -> None:
    if why == "bus master":
        put(with_msi, COMMAND, 0)
    else:
        host.listens = set()
    interrupt(with_msi)
    interrupt(with_msi)
    with_msi.engine.run()
    assert host.got == []
    host.listens = {0}
    put(with_msi, COMMAND, MASTER)
    with_msi.engine.run()
    assert host.got == [0]


@pytest.mark.parametrize("how", ["off", "MSI-X", "reset"])
def test_an_msi_that_waits_is_forgotten_without_msi(
    with_msi: Card, host: Listener, how: str
) -> None:
    host.listens = set()
    interrupt(with_msi)
    if how == "reset":
        with_msi.reset()
    elif how == "off":
        put(with_msi, MSI_CONTROL, 0)
    else:
        put(with_msi, MSIX_CONTROL, ENABLE)
    host.listens = {0}
    with_msi.engine.run()
    assert (host.got, is_asserted(with_msi)) == ([], False)


def test_a_snapshot_has_an_msi_that_waits(with_msi: Card, host: Listener) -> None:
    host.listens = set()
    interrupt(with_msi)
    snapshot = with_msi.snapshot()
    with_msi.reset()
    with_msi.restore(snapshot)
    host.listens = {0}
    with_msi.engine.run()
    assert host.got == [0]


def test_what_takes_intx_back_is_nothing_to_an_msi(with_msi: Card, host: Listener) -> None:
    host.listens = set()
    interrupt(with_msi)
    with_msi.write(with_msi.chip.r.MYPF_PCIE_PF_CLI, 0)
    host.listens = {0}
    with_msi.engine.run()
    assert host.got == [0]


def test_a_reset_forgets_masks_and_what_is_pending(card: Card, host: Listener) -> None:
    mask(card, MASKED)
    interrupt(card)
    card.reset()
    assert card.bar_read(4, 0, 8192) == bytes(8192)
    put(card, COMMAND, MASTER)
    put(card, MSIX_CONTROL, ENABLE)
    card.engine.run()
    assert host.got == []


def test_a_snapshot_has_what_is_pending(card: Card, host: Listener) -> None:
    host.listens.clear()
    interrupt(card)
    snapshot = card.snapshot()
    card.reset()
    card.restore(snapshot)
    host.listens.add(VECTOR)
    card.engine.run()
    assert host.got == [VECTOR]


def test_a_snapshot_that_is_restored_without_a_host_has_what_is_pending_and_asserted(
    card: Card, host: Listener
) -> None:
    host.listens.clear()
    interrupt(card)
    put(card, MSIX_CONTROL, 0)
    interrupt(card)
    snapshot = card.snapshot()
    card.engine.detach()
    assert not is_asserted(card)
    card.restore(snapshot)
    assert is_asserted(card)
    assert is_pending(card)


def test_a_card_without_a_host_keeps_its_interrupts(host: Listener) -> None:
    card = Card.load("t520-cr")
    put(card, COMMAND, MASTER)
    put(card, MSIX_CONTROL, ENABLE)
    interrupt(card)
    assert is_pending(card)
    card.engine.attach(host.address)
    card.engine.run()
    assert host.got == [VECTOR]
