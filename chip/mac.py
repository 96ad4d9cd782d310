"""The MACs of the Ethernet ports: where they tell that a link's bit error rate is high."""

from __future__ import annotations

from typing import NamedTuple


class Mac(NamedTuple):
    """A chip's MACs."""

    error_rate: str
    """The register that tells the error rate of a port's link."""
    high_error_rate: str
    """The field that is set where it is high."""


T5 = Mac("MAC_PORT_MTIP_PCS_BASER_STATUS1", "HiBER")
T6 = Mac("MAC_PORT_LINK_STATUS", "hi_ber")
