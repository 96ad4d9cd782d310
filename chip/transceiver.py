"""Transceiver modules: what their EEPROM holds, byte by byte (SFF-8472, SFF-8636).

Both formats store numbers high byte first, and text padded with spaces. A checksum is the low byte
of the sum of the bytes before it, from the beginning of its part on.
"""

from __future__ import annotations

from enum import IntEnum, unique

from vmcoredd.chip.layout import BigStruct, reserved, u8, u16

PAGE_BYTES = 256
BASE_DEVICE, DIAGNOSTICS_DEVICE = 0xA0, 0xA2
"""I2C addresses: a module's identity, and the diagnostics of an SFP."""


@unique
class Identifier(IntEnum):
    """Kinds of module (SFF-8024, table 4-1)."""

    SFP = 0x03
    QSFP_PLUS = 0x0D
    QSFP28 = 0x11


@unique
class Connector(IntEnum):
    """SFF-8024, table 4-3."""

    LC = 0x07
    MPO = 0x0C
    COPPER_PIGTAIL = 0x21
    NO_SEPARABLE = 0x23


@unique
class ExtendedCompliance(IntEnum):
    """SFF-8024, table 4-4."""

    SR4_100G_OR_SR_25G = 0x02
    CR4_100G_OR_CA_25G_L = 0x0B
    CA_25G_S = 0x0C


class Sfp(BigStruct):
    """Device 0xA0 of an SFP (SFF-8472, table 4-1)."""

    _fields_ = (
        ("identifier", u8),
        ("ext_identifier", u8),
        ("connector", u8),
        ("transceiver", u8 * 8),
        ("encoding", u8),
        ("br_nominal", u8),  # 100 Mbit/s
        ("rate_identifier", u8),
        ("length_smf_km", u8),
        ("length_smf", u8),  # 100 m
        ("length_om2", u8),  # 10 m
        ("length_om1", u8),  # 10 m
        ("length_om4", u8),  # 10 m; of a cable, 1 m
        ("length_om3", u8),  # 10 m
        ("vendor_name", u8 * 16),
        ("ext_compliance", u8),
        ("vendor_oui", u8 * 3),
        ("vendor_pn", u8 * 16),
        ("vendor_rev", u8 * 4),
        ("wavelength", u16),  # nm; of a cable, its compliance
        ("_reserved62", u8),
        ("cc_base", u8),
        ("options", u16),
        ("br_max", u8),
        ("br_min", u8),
        ("vendor_sn", u8 * 16),
        ("date_code", u8 * 8),
        ("diagnostics_type", u8),
        ("enhanced_options", u8),
        ("compliance", u8),
        ("cc_ext", u8),
        *reserved(160),
    )


class SfpDiagnostics(BigStruct):
    """Device 0xA2 of an SFP, calibrated internally (SFF-8472, table 4-1).

    Thresholds are high alarm, low alarm, high warning, low warning. Units: 1/256 degree C, 100 uV,
    2 uA, 0.1 uW.
    """

    _fields_ = (
        ("temperature_limits", u16 * 4),
        ("voltage_limits", u16 * 4),
        ("bias_limits", u16 * 4),
        ("tx_power_limits", u16 * 4),
        ("rx_power_limits", u16 * 4),
        ("_reserved40", u8 * 16),
        ("rx_power_calibration", u8 * 20),  # floats, of external calibration
        ("calibration", u16 * 8),  # slope and offset each: bias, Tx power, temperature, voltage
        ("_reserved92", u8 * 3),
        ("cc_dmi", u8),
        ("temperature", u16),
        ("voltage", u16),
        ("bias", u16),
        ("tx_power", u16),
        ("rx_power", u16),
        *reserved(150),
    )


class Qsfp(BigStruct):
    """Device 0xA0 of a QSFP: its lower memory, then upper page 0 (SFF-8636, tables 6-1 and 6-14).

    Diagnostics are in the units of SfpDiagnostics, powers and bias for each of four lanes.
    """

    _fields_ = (
        ("identifier", u8),
        ("revision", u8),
        ("status", u8),
        ("_reserved3", u8 * 19),
        ("temperature", u16),
        ("_reserved24", u8 * 2),
        ("voltage", u16),
        ("_reserved28", u8 * 6),
        ("rx_power", u16 * 4),
        ("bias", u16 * 4),
        ("tx_power", u16 * 4),
        ("_reserved58", u8 * 70),
        ("upper_identifier", u8),
        ("ext_identifier", u8),
        ("connector", u8),
        ("compliance", u8 * 8),
        ("encoding", u8),
        ("br_nominal", u8),  # 100 Mbit/s; 0xff: see br_nominal_ext
        ("ext_rate_select", u8),
        ("length_smf_km", u8),
        ("length_om3", u8),  # 2 m
        ("length_om2", u8),  # 1 m
        ("length_om1", u8),  # 1 m
        ("length_om4", u8),  # 2 m; of a cable, 1 m
        ("technology", u8),
        ("vendor_name", u8 * 16),
        ("ext_module", u8),
        ("vendor_oui", u8 * 3),
        ("vendor_pn", u8 * 16),
        ("vendor_rev", u8 * 2),
        ("wavelength", u16),  # 0.05 nm; of a cable, its attenuation
        ("wavelength_tolerance", u16),
        ("max_case_temperature", u8),
        ("cc_base", u8),
        ("ext_compliance", u8),
        ("options", u8 * 3),
        ("vendor_sn", u8 * 16),
        ("date_code", u8 * 8),
        ("diagnostics_type", u8),
        ("enhanced_options", u8),
        ("br_nominal_ext", u8),  # 250 Mbit/s
        ("cc_ext", u8),
        *reserved(32),
    )


def checksum(data: bytes) -> int:
    """Returns the low byte of the sum of the bytes."""
    return sum(data) & 0xFF
