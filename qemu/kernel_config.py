"""A kernel's configuration, and what of it a guest and a device dump need.

A kernel that lacks something would hang or fail late; so this is told before it boots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .errors import GuestError

OPTION = re.compile(r"(?m)^CONFIG_(\w+)=(.*)$")

BOOT = {
    "64BIT": "the guest's programs are for 64 bits",
    "BLK_DEV_INITRD": "the guest starts from an initramfs",
    "BINFMT_ELF": "the guest's programs are ELF files",
    "BINFMT_SCRIPT": "the guest's first process is a script",
    "PROC_FS": "the guest mounts /proc",
    "SYSFS": "the guest mounts /sys",
    "DEVTMPFS": "the guest mounts /dev",
    "TMPFS": "the guest mounts /tmp",
    "PRINTK": "the console is the guest's log",
    "TTY": "the host's commands come over a serial port",
    "SERIAL_8250": "the host's commands come over a serial port",
    "SERIAL_8250_CONSOLE": "the console is a serial port",
    "PCI": "the adapters are on a PCI bus",
    "MAGIC_SYSRQ": "the guest panics and restarts through /proc/sysrq-trigger",
}
"""What each guest needs, built in."""
SHARED = {
    "VIRTIO_PCI": "host and guest share a folder",
    "NET_9P": "host and guest share a folder",
    "NET_9P_VIRTIO": "host and guest share a folder",
    "9P_FS": "host and guest share a folder",
}
"""What each guest needs, built in or as a module."""
ROOT = {"OVERLAY_FS": "the guest writes to a layer over the host's folders; or use --root none"}
"""What a guest needs that reads folders of the host."""
DRIVER = {"CHELSIO_T4": "this is the driver, cxgb4"}
"""As a module, or built in."""
DUMP = {
    "KEXEC_FILE": "kexec loads the crash kernel",
    "CRASH_DUMP": "the crash kernel keeps the memory of the one that crashed",
    "PROC_VMCORE": "the crash kernel shows /proc/vmcore",
    "PROC_VMCORE_DEVICE_DUMP": "the driver adds its dump to /proc/vmcore",
}
"""What a device dump needs, beside the driver."""
OPTIONS = {
    "virtio_pci": "VIRTIO_PCI",
    "9pnet_virtio": "NET_9P_VIRTIO",
    "9p": "9P_FS",
    "cxgb4": "CHELSIO_T4",
}
"""The options that build the modules which a guest cannot do without."""
PORTS = ("SERIAL_8250_NR_UARTS", "SERIAL_8250_RUNTIME_UARTS")
LEAST_PORTS = 2
"""The console, and the control line."""


class KernelLacks(GuestError):
    """A kernel's configuration lacks what a guest needs; the message names the options."""


@dataclass(frozen=True)
class Config:
    """A configuration: the `options` that are on, without CONFIG_, and where it was read."""

    source: str
    options: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, text: str, source: str) -> Config:
        """Returns the configuration in the text of a `.config`."""
        return cls(source, dict(OPTION.findall(text)))

    def value(self, option: str) -> str:
        """Returns an option's value: y, m, n, or a number or text as it is written."""
        return self.options.get(option, "n")


def check(config: Config, kernel: str, *, driver: bool = False, dump: bool = False) -> None:
    """Checks that `kernel` can be a guest's; that it has the driver, and device dumps, if asked.

    Raises KernelLacks.
    """
    lacking = [*_built_in(config, BOOT), *_present(config, SHARED), *_ports(config)]
    if driver:
        lacking += _present(config, DRIVER)
    if dump:
        lacking += _built_in(config, DUMP)
    purpose = "hold a device dump" if dump else "run as a guest"
    _refuse(config, kernel, purpose, lacking)


def check_root(config: Config, kernel: str) -> None:
    """Checks that a guest with this kernel can read folders of the host. Raises KernelLacks."""
    _refuse(config, kernel, "show the guest the host's folders", list(_present(config, ROOT)))


Lacking = tuple[str, str, str]
"""An option, the value it needs, and why."""


def _built_in(config: Config, needs: Mapping[str, str]) -> Iterator[Lacking]:
    for option, why in needs.items():
        if config.value(option) == "m":
            yield option, "y", f"{why}; as a module it comes too late"
        elif config.value(option) != "y":
            yield option, "y", why


def _present(config: Config, needs: Mapping[str, str]) -> Iterator[Lacking]:
    for option, why in needs.items():
        if config.value(option) not in ("y", "m"):
            yield option, "m" if config.value("MODULES") == "y" else "y", why


def _ports(config: Config) -> Iterator[Lacking]:
    for option in PORTS:
        value = config.value(option)
        if value.isdecimal() and int(value) < LEAST_PORTS:
            yield option, "4", f"the guest has {LEAST_PORTS} serial ports, not {value}"


def _refuse(config: Config, kernel: str, purpose: str, lacking: list[Lacking]) -> None:
    if not lacking:
        return
    lines = [f"  CONFIG_{option}={value}  ({why})" for option, value, why in lacking]
    switches = " ".join(map(_switch, lacking))
    raise KernelLacks(
        "\n".join(
            (
                f"{kernel} cannot {purpose}: its configuration ({config.source}) lacks",
                *lines,
                f"In its source: scripts/config {switches} && make olddefconfig; then build it",
            )
        )
    )


def _switch(one: Lacking) -> str:
    option, value, _ = one
    kinds = {"y": f"-e {option}", "m": f"-m {option}"}
    return kinds.get(value, f"--set-val {option} {value}")
