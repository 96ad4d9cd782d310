"""Numbers of the mailbox: opcodes, return values, address spaces (t4fw_api.h)."""

from enum import IntEnum, unique


@unique
class Op(IntEnum):
    """enum fw_cmd_opcodes: FW_<name>_CMD."""

    LDST = 0x01
    RESET = 0x03
    HELLO = 0x04
    BYE = 0x05
    INITIALIZE = 0x06
    CAPS_CONFIG = 0x07
    PARAMS = 0x08
    PFVF = 0x09
    IQ = 0x10
    EQ_MNGT = 0x11
    EQ_ETH = 0x12
    EQ_CTRL = 0x13
    VI = 0x14
    VI_MAC = 0x15
    VI_RXMODE = 0x16
    VI_ENABLE = 0x17
    ACL_MAC = 0x18
    ACL_VLAN = 0x19
    VI_STATS = 0x1A
    PORT = 0x1B
    PORT_STATS = 0x1C
    PORT_LB_STATS = 0x1D
    PORT_TRACE = 0x1E
    PORT_TRACE_MMAP = 0x1F
    RSS_IND_TBL = 0x20
    EQ_OFLD = 0x21
    RSS_GLB_CONFIG = 0x22
    RSS_VI_CONFIG = 0x23
    SCHED = 0x24
    DEVLOG = 0x25
    CLIP = 0x28
    PTP = 0x3E
    HMA = 0x3F
    LASTC2E = 0x40
    ERROR = 0x80
    DEBUG = 0x81


@unique
class Eval(IntEnum):
    """PCIE_FW.EVAL while ERR is set: in what the firmware failed (t4_hw.c, t4_report_fw_error();
    t4fw_api.h names only the first)."""

    CRASH = 0
    PREPARATION = 1
    CONFIGURATION = 2
    INITIALIZATION = 3
    UNEXPECTED = 4
    OVERHEAT = 5
    SHUTDOWN = 6


@unique
class Retval(IntEnum):
    """enum fw_retval: FW_<name>; those up to EINPROGRESS are Linux's errno values."""

    SUCCESS = 0
    EPERM = 1
    ENOENT = 2
    EIO = 5
    ENOEXEC = 8
    EAGAIN = 11
    ENOMEM = 12
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    ENODEV = 19
    EINVAL = 22
    ENOSPC = 28
    ENOSYS = 38
    ENODATA = 61
    EPROTO = 71
    EADDRINUSE = 98
    EADDRNOTAVAIL = 99
    ENETDOWN = 100
    ENETUNREACH = 101
    ENOBUFS = 105
    ETIMEDOUT = 110
    EINPROGRESS = 115
    SCSI_ABORT_REQUESTED = 128
    SCSI_ABORT_TIMEDOUT = 129
    SCSI_ABORTED = 130
    SCSI_CLOSE_REQUESTED = 131
    ERR_LINK_DOWN = 132
    RDEV_NOT_READY = 133
    ERR_RDEV_LOST = 134
    ERR_RDEV_LOGO = 135
    FCOE_NO_XCHG = 136
    SCSI_RSP_ERR = 137
    ERR_RDEV_IMPL_LOGO = 138
    SCSI_UNDER_FLOW_ERR = 139
    SCSI_OVER_FLOW_ERR = 140
    SCSI_DDP_ERR = 141
    SCSI_TASK_ERR = 142


def op_name(opcode: int) -> str:
    """Returns a command's name such as `HELLO`; an unknown opcode in hexadecimal digits."""
    return Op(opcode).name if opcode in Op._value2member_map_ else f"{opcode:#04x}"


def retval_name(retval: int) -> str:
    """Returns a return value's name and number: `EINVAL (22)`; an unknown one as a number."""
    return (
        f"{Retval(retval).name} ({retval})" if retval in Retval._value2member_map_ else str(retval)
    )


@unique
class LdstSpace(IntEnum):
    """enum fw_ldst_addrspc: the space an LDST command loads from or stores to."""

    FIRMWARE = 0x01
    SGE_EGRC = 0x08
    SGE_INGC = 0x09
    SGE_FLMC = 0x0A
    SGE_CONMC = 0x0B
    TP_PIO = 0x10
    TP_TM_PIO = 0x11
    TP_MIB = 0x12
    MDIO = 0x18
    MPS = 0x20
    FUNC = 0x28
    FUNC_PCIE = 0x29
    I2C = 0x38


@unique
class MemType(IntEnum):
    """enum fw_memtype_cf: the memory that holds a configuration file, a device log and so on."""

    EDC0 = 0
    EDC1 = 1
    EXTMEM = 2
    FLASH = 4
    INTERNAL = 5
    EXTMEM1 = 6
    HMA = 7
