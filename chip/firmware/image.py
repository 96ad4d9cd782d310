"""What stands in the flash: the firmware's image, and the boot ROM."""

from __future__ import annotations

from vmcoredd.chip.layout import BigStruct, LittleStruct, u8, u16, u32, word


class FirmwareHeader(BigStruct):
    """The 128 bytes in front of a firmware image (struct fw_hdr); `len512` counts 512 bytes."""

    _fields_ = (
        ("ver", u8),
        ("chip", u8),
        ("len512", u16),
        *word("major:24:8 minor:16:8 micro:8:8 build:0:8"),
        ("tp_microcode_ver", u32),
        ("intfver_nic", u8),
        ("intfver_vnic", u8),
        ("intfver_ofld", u8),
        ("intfver_ri", u8),
        ("intfver_iscsipdu", u8),
        ("intfver_iscsi", u8),
        ("intfver_fcoepdu", u8),
        ("intfver_fcoe", u8),
        ("reserved2", u32),
        ("reserved3", u32),
        ("reserved4", u32),
        ("flags", u32),
        ("reserved6", u32 * 23),
    )


class BootHeader(LittleStruct):
    """The start of a PCI option ROM as the driver reads it (t4_hw.c, t4_get_exprom_version())."""

    _fields_ = (("hdr_arr", u8 * 16), ("version", u8 * 4))
