"""What QEMU is told: the machine of a guest as a command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .errors import GuestError

CONSOLE = ("earlycon=uart8250,io,0x3f8,115200", "console=ttyS0")  # from the first line on
FIRST_SLOT = 2  # of the root bus; below it are the host bridge and, on some machines, a display
LAST_SLOT = 0x1C
PANIC_SLOT = 0x1D
SHARE_SLOT = 0x1E


class OnPanic(Enum):
    """What becomes of a guest whose kernel panics and has no crash kernel to start."""

    END = "END"  # QEMU ends
    PAUSE = "PAUSE"  # it stands still, so that its memory can be looked at


@dataclass(frozen=True)
class Machine:
    """The machine that a guest sees, and how its first kernel is started."""

    image: Path
    initramfs: Path
    memory: str = "1G"
    cpus: int = 2
    crashkernel: str = "256M"
    words: str = ""  # more words for the kernel's command line
    on_panic: OnPanic = OnPanic.END
    accelerator: str = "tcg"
    shell: bool = False


@dataclass(frozen=True)
class Ends:
    """Where the guest's lines end on the host: two sockets that QEMU inherits, and paths."""

    control: int
    monitor: int
    share: Path
    console: Path
    extra_monitor: Path | None = None


def arguments(machine: Machine, ends: Ends, adapters: Sequence[Path]) -> list[str]:
    """QEMU's arguments; `adapters` are vfio-user sockets. Raises GuestError for too many."""
    if len(adapters) > LAST_SLOT - FIRST_SLOT + 1:
        raise GuestError(f"{len(adapters)} adapters do not fit on the guest's root bus")
    return [
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,memory-backend=memory", "-accel", machine.accelerator),
        *("-cpu", "max,-smap", "-smp", str(machine.cpus), "-m", machine.memory),
        *("-object", f"memory-backend-memfd,id=memory,size={machine.memory},share=on"),
        *("-kernel", str(machine.image), "-initrd", str(machine.initramfs)),
        *("-append", command_line(machine)),
        *_panic(machine.on_panic),
        *_lines(machine, ends),
        *_share(ends.share),
        *("-device", "vmcoreinfo"),
        *(word for slot, path in enumerate(adapters) for word in ("-device", adapter(slot, path))),
    ]


def command_line(machine: Machine) -> str:
    """The first kernel's. Debugging a guest: `words="ignore_loglevel initcall_debug"`."""
    crash = [f"crashkernel={machine.crashkernel}"] if machine.crashkernel else []
    panic = "panic=1" if machine.on_panic is OnPanic.END else "panic=0"
    shell = ["guest.shell"] if machine.shell else []
    return " ".join([*CONSOLE, panic, *crash, *shell, *machine.words.split()])


def adapter(index: int, socket: Path) -> str:
    """The `-device` argument of the adapter that is served on `socket`."""
    return json.dumps(
        {
            "driver": "vfio-user-pci",
            "id": f"adapter{index}",
            "addr": f"{FIRST_SLOT + index:02x}.0",
            "socket": {"type": "unix", "path": str(socket)},
        }
    )


def _panic(on_panic: OnPanic) -> list[str]:
    device = ["-device", f"pvpanic-pci,addr={PANIC_SLOT:x}"]
    if on_panic is OnPanic.PAUSE:
        return [*device, "-action", "reboot=shutdown,panic=pause"]
    return [*device, "-action", "reboot=shutdown,panic=none"]


def _lines(machine: Machine, ends: Ends) -> list[str]:
    """Console, control line, monitors."""
    log = _escaped(ends.console)
    console = f"file,path={log}"
    if machine.shell:
        console = f"stdio,mux=on,signal=off,logfile={log}"
    extra = ends.extra_monitor
    return [
        *("-chardev", f"{console},id=console", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=control,fd={ends.control}", "-serial", "chardev:control"),
        *("-chardev", f"socket,id=monitor,fd={ends.monitor}"),
        *("-qmp", "chardev:monitor"),
        *(("-qmp", f"unix:{_escaped(extra)},server=on,wait=off") if extra else ()),
    ]


def _share(folder: Path) -> list[str]:
    return [
        *("-fsdev", f"local,id=share,path={_escaped(folder)},security_model=mapped-file"),
        *("-device", f"virtio-9p-pci,fsdev=share,mount_tag=share,addr={SHARE_SLOT:x}"),
    ]


def _escaped(path: Path) -> str:
    """A comma would begin QEMU's next option; it is doubled."""
    return str(path).replace(",", ",,")
