"""The modules in the ports' cages, with the EEPROMs that tell what they are.

Vendor, parts and readings are plausible (assumed); a module keeps its serial number with its card.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from vmcoredd.chip.firmware import PortModule, PortType
from vmcoredd.chip.transceiver import (
    BASE_DEVICE,
    DIAGNOSTICS_DEVICE,
    Connector,
    ExtendedCompliance,
    Identifier,
    Qsfp,
    Sfp,
    SfpDiagnostics,
    checksum,
)
from vmcoredd.emu.profile import Profile

VENDOR, OUI, MADE = "CHELSIO", (0x00, 0x07, 0x43), "210503"
CABLE_METERS = 3
CABLES = (PortModule.TWINAX_PASSIVE, PortModule.TWINAX_ACTIVE)
QSFPS = (
    PortType.QSFP_10G,
    PortType.QSFP,
    PortType.CR_QSFP,
    PortType.CR2_QSFP,
    PortType.CR4_QSFP,
)
SFPS = (PortType.SFP, PortType.QSA, PortType.SFP28)
FAST_LANE = 25
"""Gbit/s of a lane whose rate the fields for 10 Gbit/s cannot hold."""
EXTENDED_RATE, BIT_RATE = 0xFF, 103
"""BIT_RATE is in 100 Mbit/s, or in 250 Mbit/s where the rate is extended."""
OPTIC_NM = 850
READINGS = {"temperature": 38 << 8, "voltage": 33_000, "bias": 3_500}
SENT, RECEIVED = 5_800, 5_200
"""Powers in 0.1 uW."""
LIMITS = {
    "temperature_limits": (75 << 8, 0xFB00, 70 << 8, 0),
    "voltage_limits": (36_000, 30_000, 35_000, 31_000),
    "bias_limits": (6_000, 500, 5_000, 1_000),
    "tx_power_limits": (12_589, 1_000, 10_000, 1_585),
    "rx_power_limits": (12_589, 631, 10_000, 1_000),
}


@dataclass(frozen=True)
class Transceiver:
    """A module: its kind, and the 256 bytes of each of its I2C devices."""

    kind: PortModule
    devices: dict[int, bytes]

    @classmethod
    def make(cls, profile: Profile, random: Random) -> Transceiver | None:
        """Returns the module of a port; None if the port has no cage."""
        kind, port = PortModule[profile.ports.module], PortType[profile.ports.type]
        serial = f"C{random.randrange(10**9):09}"
        if port in QSFPS:
            return cls(kind, {BASE_DEVICE: _qsfp(kind, profile.ports.speed, serial)})
        if port not in SFPS:
            return None
        devices = {BASE_DEVICE: _sfp(kind, profile.ports.speed, serial)}
        if kind not in CABLES:
            devices[DIAGNOSTICS_DEVICE] = _sfp_diagnostics()
        return cls(kind, devices)


def _sfp(kind: PortModule, speed: int, serial: str) -> bytes:
    fast = speed >= FAST_LANE
    page = Sfp(
        identifier=Identifier.SFP,
        ext_identifier=4,  # what it is, is in the EEPROM
        br_nominal=EXTENDED_RATE if fast else BIT_RATE,
        br_max=BIT_RATE if fast else 0,
    )
    if kind in CABLES:
        passive = kind is PortModule.TWINAX_PASSIVE
        page.connector = Connector.COPPER_PIGTAIL
        page.transceiver[5] = 0x04 if passive else 0x08
        page.length_om4 = CABLE_METERS
        page.wavelength = 0x0100  # SFF-8431, appendix E
        page.ext_compliance = ExtendedCompliance.CR4_100G_OR_CA_25G_L if fast else 0
        part = f"TAPCABLE{'28' if fast else ''}-{CABLE_METERS}M"
    else:
        page.connector, page.encoding = Connector.LC, 6  # 64B/66B
        page.transceiver[0] = 0 if fast else 0x10  # 10GBASE-SR
        page.ext_compliance = ExtendedCompliance.SR4_100G_OR_SR_25G if fast else 0
        page.length_om3, page.length_om2, page.length_om4 = (7, 2, 10) if fast else (30, 8, 40)
        page.wavelength = OPTIC_NM
        page.diagnostics_type, page.compliance = 0x68, 8  # calibrated internally, average power
        page.enhanced_options, page.options = 0xF0, 0x001A
        part = f"SM{speed}G-SR"
    _name(page, part, "A", serial)
    data = bytes(page)
    page.cc_base, page.cc_ext = checksum(data[:63]), checksum(data[64:95])
    return bytes(page)


def _sfp_diagnostics() -> bytes:
    page = SfpDiagnostics(tx_power=SENT, rx_power=RECEIVED, **READINGS)
    for name, limits in LIMITS.items():
        getattr(page, name)[:] = limits
    page.rx_power_calibration[12:16] = bytes.fromhex("3f800000")  # the float 1: slope of order 1
    page.calibration[::2] = (0x100,) * 4  # slope 1, offset 0
    page.cc_dmi = checksum(bytes(page)[:95])
    return bytes(page)


def _qsfp(kind: PortModule, speed: int, serial: str) -> bytes:
    fast, cable = speed // 4 >= FAST_LANE, kind in CABLES
    identifier = Identifier.QSFP28 if fast else Identifier.QSFP_PLUS
    page = Qsfp(
        identifier=identifier,
        upper_identifier=identifier,
        revision=8,
        status=0x06,  # no further pages, no interrupt
        br_nominal=EXTENDED_RATE if fast else BIT_RATE,
        br_nominal_ext=BIT_RATE if fast else 0,
        max_case_temperature=70,
    )
    page.compliance[0] = 0x80 if fast else 0x08 if cable else 0x04
    if cable:
        page.connector, page.length_om4 = Connector.NO_SEPARABLE, CABLE_METERS
        page.technology = 0xA0 if kind is PortModule.TWINAX_PASSIVE else 0xC0
        page.wavelength, page.wavelength_tolerance = 0x0406, 0x080C  # dB at 2.5, 5, 7, 12.9 GHz
        page.ext_compliance = ExtendedCompliance.CR4_100G_OR_CA_25G_L if fast else 0
        part = f"QTAPCABLE{'28' if fast else '40'}-{CABLE_METERS}M"
    else:
        page.connector, page.encoding = Connector.MPO, 5  # 64B/66B
        page.length_om3, page.length_om4 = (35, 50) if fast else (50, 75)
        page.wavelength, page.wavelength_tolerance = OPTIC_NM * 20, 2000
        page.ext_compliance = ExtendedCompliance.SR4_100G_OR_SR_25G if fast else 0
        page.ext_identifier, page.diagnostics_type = 0x0C if fast else 0, 0x0C
        _read_lanes(page)
        part = f"SM{speed}G-SR"
    _name(page, part, "A", serial)
    data = bytes(page)
    page.cc_base, page.cc_ext = checksum(data[128:191]), checksum(data[192:223])
    return bytes(page)


def _read_lanes(page: Qsfp) -> None:
    page.temperature, page.voltage = READINGS["temperature"], READINGS["voltage"]
    page.bias = [READINGS["bias"]] * 4
    page.tx_power, page.rx_power = [SENT] * 4, [RECEIVED] * 4


def _name(page: Any, part: str, revision: str, serial: str) -> None:
    page.vendor_oui = OUI
    for name, text in (
        ("vendor_name", VENDOR),
        ("vendor_pn", part),
        ("vendor_rev", revision),
        ("vendor_sn", serial),
        ("date_code", MADE),
    ):
        getattr(page, name)[:] = text.encode().ljust(len(getattr(page, name)))
