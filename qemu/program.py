"""The QEMU that runs guests: finds the program, and builds its command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from vmcoredd import debs

from .errors import GuestError, QemuUnusable

PROGRAM = "qemu-system-x86_64"
DEVICE = "vfio-user-pci"  # since QEMU 10.1
SUITES = ("trixie", "trixie-backports")
COPY = "qemu"
"""The start of the name of a private copy's folder in the cache."""
PROBE_SECONDS = 60.0
CONSOLE = ("earlycon=uart8250,io,0x3f8,115200", "console=ttyS0")  # from the kernel's first line on
FIRST_SLOT = 2  # of the root bus; the host bridge and, on some machines, a display come before it
BUSY_HOST = "no_timer_check"  # a kernel that checks its timer panics if the host is busy then
LAST_SLOT = 0x1C
PANIC_SLOT = 0x1D
SHARE_SLOT = 0x1E


@dataclass(frozen=True)
class Qemu:
    """A QEMU that has vfio-user-pci: the start of its command line, and its version."""

    command: tuple[str, ...]
    version: str


class OnPanic(Enum):
    """QEMU's reaction to a panic of the guest's kernel without a crash kernel."""

    END = "END"  # exits
    PAUSE = "PAUSE"  # stops the guest, so that its memory can be read


@dataclass(frozen=True)
class Machine:
    """The guest's virtual machine, and how its first kernel is started."""

    image: Path
    initramfs: Path
    memory: str = "1G"
    cpus: int = 2
    crashkernel: str = "256M"
    kernel_arguments: str = ""  # added to the kernel's command line
    on_panic: OnPanic = OnPanic.END
    accelerator: str = "tcg"
    shell: bool = False
    root_ports: bool = False  # each adapter behind one of its own, as in real machines
    exports: tuple[Path, ...] = ()  # folders of the host that the guest may read (root.py)
    nic_pairs: tuple[str, ...] = ()  # models of QEMU's own NICs, two of each joined by a hub
    iommu: bool = False  # a virtual IOMMU, which the kernel uses with intel_iommu=on


@dataclass(frozen=True)
class Debugging:
    """Paths of sockets that QEMU makes for debuggers: of a second monitor, and of its gdb stub."""

    monitor: Path | None = None
    gdb: Path | None = None


NO_DEBUGGING = Debugging()


@dataclass(frozen=True)
class HostEnds:
    """The host's side of a guest: descriptors that QEMU inherits (two sockets, the console's log),
    and paths."""

    control: int
    monitor: int
    console: int
    share: Path
    debugging: Debugging = NO_DEBUGGING


def find_qemu(progress: debs.Progress = debs.silent) -> Qemu:
    """Returns the installed QEMU if it is new enough, else Debian's backport from the cache.

    Raises QemuUnusable, and debs.Unavailable if the backport cannot be downloaded either.
    """
    installed = shutil.which(PROGRAM)
    if installed:
        try:
            return probe((installed,))
        except QemuUnusable as error:
            progress(f"{error}; using a private copy of QEMU", None)
    root = debs.binaries(["qemu-system-x86"], suites=SUITES, name=COPY, progress=progress)
    data = [str(root / "usr/share" / name) for name in ("qemu", "seabios")]
    command = debs.command(root, f"usr/bin/{PROGRAM}")
    return probe((*command, *(word for folder in data for word in ("-L", folder))))


def look_for_qemu() -> tuple[str, bool]:
    """Says which QEMU is here, and whether `find_qemu` can do without a download."""
    why = "none is installed"
    if installed := shutil.which(PROGRAM):
        try:
            return f"{probe((installed,)).version} in {installed}", True
        except QemuUnusable as error:
            why = str(error)
    copies = (path.name for path in debs.cache_dir().glob(f"debs/{COPY}-*"))
    if any(re.fullmatch(rf"{COPY}-[0-9a-f]{{12}}", name) for name in copies):
        return "a private copy in the cache", True
    return why, False


def probe(command: tuple[str, ...]) -> Qemu:
    """Returns a QEMU with its version and abilities. Raises QemuUnusable."""
    output = _run(*command, "--version")
    version = re.search(r"version (\S+)", output)
    if not version:
        raise QemuUnusable(f"{command[-1]} does not report its version: {output[:200]!r}")
    if f'name "{DEVICE}"' not in _run(*command, "-device", "help"):
        raise QemuUnusable(f"QEMU {version[1]} has no {DEVICE}: 10.1 or newer is needed")
    return Qemu(command, version[1])


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QemuUnusable(f"QEMU does not respond: {error}") from error
    if done.returncode:
        raise QemuUnusable(f"QEMU does not start: {done.stderr.strip()[-300:]}")
    return done.stdout


def arguments(machine: Machine, ends: HostEnds, adapters: Sequence[Path]) -> list[str]:
    """Returns QEMU's arguments; `adapters` are vfio-user sockets.

    Raises GuestError if there are more adapters and NICs than free slots.
    """
    devices, slots = len(adapters) + 2 * len(machine.nic_pairs), LAST_SLOT - FIRST_SLOT + 1
    if devices > slots:
        raise GuestError(f"{devices} adapters do not fit on the guest's root bus: at most {slots}")
    return [
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,memory-backend=memory", "-accel", _accelerator(machine)),
        *_iommu(machine.iommu),
        *("-cpu", "max,-smap", "-smp", str(machine.cpus), "-m", machine.memory),
        *("-object", f"memory-backend-memfd,id=memory,size={machine.memory},share=on"),
        *("-kernel", str(machine.image), "-initrd", str(machine.initramfs)),
        *("-append", kernel_command_line(machine)),
        *_panic(machine.on_panic),
        *_serial_ports_and_monitors(machine, ends),
        *_share(ends.share),
        *(word for number, path in enumerate(machine.exports) for word in _export(number, path)),
        *("-device", "vmcoreinfo"),
        *_adapters(adapters, machine.root_ports),
        *nic_pairs(machine.nic_pairs, len(adapters)),
    ]


def kernel_command_line(machine: Machine) -> str:
    """Returns the first kernel's command line.

    To debug a boot: `kernel_arguments="ignore_loglevel initcall_debug"`.
    """
    crash = [f"crashkernel={machine.crashkernel}"] if machine.crashkernel else []
    panic = "panic=1" if machine.on_panic is OnPanic.END else "panic=0"
    shell = ["guest.shell"] if machine.shell else []
    return " ".join([*CONSOLE, BUSY_HOST, panic, *crash, *shell, *machine.kernel_arguments.split()])


def _accelerator(machine: Machine) -> str:
    """Returns the accelerator; KVM's own interrupt controller cannot do an IOMMU's remapping."""
    split = machine.iommu and machine.accelerator == "kvm"
    return f"{machine.accelerator}{',kernel-irqchip=split' if split else ''}"


def _iommu(wanted: bool) -> list[str]:
    """Returns the arguments for an IOMMU; with caching mode QEMU learns of each mapping, which an
    adapter's server needs."""
    return ["-device", "intel-iommu,caching-mode=on"] if wanted else []


def _adapters(sockets: Sequence[Path], root_ports: bool) -> list[str]:
    devices = []
    for index, socket in enumerate(sockets):
        if root_ports:
            devices.append(root_port(index))
        devices.append(adapter(index, socket, root_ports))
    return [word for device in devices for word in ("-device", device)]


def root_port(index: int) -> str:
    """Returns the `-device` argument of the PCIe root port for an adapter."""
    port = {"driver": "pcie-root-port", "id": f"port{index}", "addr": _slot(index)}
    return json.dumps({**port, "chassis": index + 1, "hotplug": False})


def adapter(index: int, socket: Path, behind_port: bool = False) -> str:
    """Returns the `-device` argument that attaches the adapter served on `socket`.

    It sits on the root bus, or alone behind its root port. Raises GuestError for a path that JSON
    cannot hold.
    """
    try:
        str(socket).encode()
    except UnicodeEncodeError as error:
        raise GuestError(f"{str(socket)!r}: QEMU needs a socket's path in UTF-8") from error
    place = {"bus": f"port{index}"} if behind_port else {"addr": _slot(index)}
    device = {"driver": DEVICE, "id": f"adapter{index}", **place}
    return json.dumps({**device, "socket": {"type": "unix", "path": str(socket)}})


def nic_pairs(models: Sequence[str], first: int) -> list[str]:
    """Returns the arguments for two NICs of each model, behind root ports from slot `first` on.

    On one bus the virtual functions of two igb would have the same addresses.
    """
    words = []
    for number, model in enumerate(models):
        for end in (0, 1):
            index, port = first + 2 * number + end, f"hub{number}.{end}"
            nic = {"driver": model, "netdev": port, "bus": f"port{index}", "romfile": ""}
            words += ["-netdev", f"hubport,id={port},hubid={number}"]
            words += ["-device", root_port(index), "-device", json.dumps(nic)]
    return words


def address(index: int, behind_port: bool = False) -> str:
    """Returns the address at which a guest finds an adapter: each root port begins a bus."""
    return f"0000:{index + 1:02x}:00.0" if behind_port else f"0000:00:{_slot(index)}"


def _slot(index: int) -> str:
    return f"{FIRST_SLOT + index:02x}.0"


def _panic(on_panic: OnPanic) -> list[str]:
    device = ["-device", f"pvpanic-pci,addr={PANIC_SLOT:x}"]
    if on_panic is OnPanic.PAUSE:
        return [*device, "-action", "reboot=shutdown,panic=pause"]
    return [*device, "-action", "reboot=shutdown,panic=none"]


def _serial_ports_and_monitors(machine: Machine, ends: HostEnds) -> list[str]:
    log = "/dev/fdset/1"
    console = f"file,path={log}"
    if machine.shell:
        console = f"stdio,mux=on,signal=off,logfile={log}"
    return [
        *("-add-fd", f"fd={ends.console},set=1"),
        *("-chardev", f"{console},id=console", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=control,fd={ends.control}", "-serial", "chardev:control"),
        *("-chardev", f"socket,id=monitor,fd={ends.monitor}"),
        *("-qmp", "chardev:monitor"),
        *_debugger("-qmp", ends.debugging.monitor),
        *_debugger("-gdb", ends.debugging.gdb),
    ]


def _debugger(option: str, path: Path | None) -> list[str]:
    if path is None:
        return []
    name = f"extra{option}"
    socket = f"socket,id={name},path={_escaped(path)},server=on,wait=off"
    return ["-chardev", socket, option, f"chardev:{name}"]


def _share(folder: Path) -> list[str]:
    return [
        *("-fsdev", f"local,id=share,path={_escaped(folder)},security_model=mapped-file"),
        "-device",
        f"virtio-9p-pci,fsdev=share,mount_tag=share,addr={SHARE_SLOT:x},multifunction=on",
    ]


def _export(number: int, folder: Path) -> list[str]:
    """Returns the arguments for a folder that the guest may read; QEMU refuses its writes."""
    path, tag = _escaped(folder), f"root{number}"
    fsdev = f"local,id={tag},path={path},security_model=none,readonly=on,multidevs=remap"
    address = f"{SHARE_SLOT:x}.{number + 1}"
    device = f"virtio-9p-pci,fsdev={tag},mount_tag={tag},addr={address},multifunction=on"
    return ["-fsdev", fsdev, "-device", device]


def _escaped(path: Path) -> str:
    """Doubles commas: a single one would start QEMU's next option."""
    return str(path).replace(",", ",,")
