"""Builds the driver's own code, unmodified, into a shared library for user space.

The files of an unpacked kernel source are compiled against the kernel's own headers for the
user-mode architecture (ARCH=um), where `readl()` and the like are ordinary functions and nothing
needs privileges or assembly. `config.h` replaces Kconfig, so a C compiler is enough: the tree is
neither configured nor written to.

The rest of the kernel that the driver needs is here: `host/` (memory, time, log, accesses) and
`kernel/` (PCI, net devices, /proc/vmcore). Any other kernel function becomes a stub that ends the
run and names itself. The library is for tests on this machine; it is not distributed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyvfio_user
from vmcoredd.debs.cache import Progress, build_once, silent

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
INTERFACE = Path(pyvfio_user.get_include())
INCLUDES = [f"-I{INTERFACE}", f"-I{ROOT}"]
DRIVER = "drivers/net/ethernet/chelsio/cxgb4"

#: Kernel library code that affects a dump, or without which the driver does not run.
KERNEL_FILES = shlex.split(
    "drivers/pci/access drivers/pci/vpd lib/zlib_deflate/deflate lib/zlib_deflate/deftree "
    "lib/sort lib/kstrtox lib/string lib/string_helpers lib/ctype lib/hexdump lib/find_bit "
    "lib/bitmap lib/hweight lib/bitrev lib/scatterlist"
)
#: Headers that a kernel build generates; nothing here uses their content.
EMPTY_HEADERS = (
    "include/generated/timeconst.h",
    "arch/asm/unistd_64.h",
    "arch/asm/unistd_64_x32.h",
    "arch/asm/unistd_32_ia32.h",
)
KERNEL_FLAGS = shlex.split(
    "-nostdinc -std=gnu11 -O2 -g -fPIC -fvisibility=hidden -ffreestanding -funsigned-char "
    "-fshort-wchar -fno-strict-aliasing -fno-strict-overflow -fno-stack-protector "
    "-fno-delete-null-pointer-checks -fcf-protection=none -D__KERNEL__ -D__arch_um__ -DMODULE "
    """-DKBUILD_MODNAME='"cxgb4"' -DKBUILD_MODFILE='"cxgb4"' -DKBUILD_BASENAME='"cxgb4"'"""
)
HOST_FLAGS = shlex.split(
    "-std=gnu11 -O2 -g -fPIC -fvisibility=hidden -Wall -Wextra -Wconversion -Werror"
)
SHIM_FLAGS = shlex.split("-Wall -Wextra -Wno-unused-parameter -Werror")
LIBRARY = "cxgb4.so"


class BuildError(Exception):
    """The driver could not be built; the text is the tool's."""


def build(kernel: Path, cache: Path, progress: Progress = silent) -> Path:
    """Returns the shared library for the kernel source unpacked at `kernel`.

    Building takes about half a minute on two cores. The library is kept in a folder of `cache`
    named by a digest of all inputs, so a second call only hashes. Raises BuildError.
    """
    progress("building the kernel's driver", None)
    if not (kernel / DRIVER / "cudbg_lib.c").is_file():
        raise BuildError(f"{kernel} has no {DRIVER}: not an unpacked kernel source")

    def make(work: Path, _lock: int) -> None:
        with tempfile.TemporaryDirectory(dir=work) as scratch:
            _make(kernel, Path(scratch))
            os.replace(Path(scratch) / LIBRARY, work / "result" / LIBRARY)

    return build_once(cache / f"library-{_key(kernel)}", make, progress) / LIBRARY


def _key(kernel: Path) -> str:
    """Returns a digest of all inputs: the kernel's version and files, ours, the compiler."""
    digest = hashlib.sha256(_run("cc", "--version"))
    ours = [
        HERE / "build.py",
        HERE / "config.h",
        HERE / "witness.h",
        INTERFACE / "pyvfio_user/io.h",
    ]
    ours += [path for room in ("host", "kernel") for path in sorted((HERE / room).iterdir())]
    theirs = [kernel / "Makefile", *sorted((kernel / DRIVER).glob("*.[ch]"))]
    theirs += [kernel / f"{stem}.c" for stem in KERNEL_FILES]
    for path in [*ours, *theirs]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _make(kernel: Path, scratch: Path) -> None:
    shims = [*KERNEL_FLAGS, *_includes(kernel, scratch)]
    theirs = [*shims, "-w"]
    _generate_headers(kernel, scratch, theirs)
    jobs = [(f"driver-{path.stem}.o", path, theirs) for path in _driver_files(kernel)]
    jobs += [(f"{stem.replace('/', '-')}.o", kernel / f"{stem}.c", theirs) for stem in KERNEL_FILES]
    shims += [*SHIM_FLAGS, *INCLUDES, "-isystem", str(kernel), "-isystem", str(kernel / DRIVER)]
    jobs += [(f"shim-{path.stem}.o", path, shims) for path in (HERE / "kernel").glob("*.c")]
    host = [*HOST_FLAGS, *INCLUDES]
    jobs += [(f"host-{path.stem}.o", path, host) for path in (HERE / "host").glob("*.c")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda job: _compile(scratch, *job), jobs))
    objects.append(_stubs(scratch, objects))
    _link(scratch, objects)


def _driver_files(kernel: Path) -> list[Path]:
    """Returns the files that the driver's Makefile lists for our configuration."""
    text = (kernel / DRIVER / "Makefile").read_text().replace("\\\n", " ")
    chosen = set(re.findall(r"#define (CONFIG_\w+) 1", (HERE / "config.h").read_text()))
    stems = [
        stem
        for condition, objects in re.findall(r"(?m)^cxgb4-(\S+)\s*[:+]=(.*)$", text)
        if condition == "objs" or condition.strip("$()") in chosen
        for stem in re.findall(r"(\w+)\.o", objects)
    ]
    if not stems:
        raise BuildError(f"the Makefile of {DRIVER} lists no objects")
    return [kernel / DRIVER / f"{stem}.c" for stem in stems]


def _includes(kernel: Path, scratch: Path) -> list[str]:
    """Returns the include path of a user-mode build, generic `asm/` headers last."""
    folders = [
        kernel / "arch/um/include",
        scratch / "arch",
        kernel / "include",
        scratch / "include",
        kernel / "arch/um/include/uapi",
        kernel / "include/uapi",
        scratch / "include/generated/uapi",
        kernel / "arch/x86/um",
        kernel / "arch/um/include/shared",
        kernel / "arch/x86/um/shared",
        kernel / "arch/um/include/shared/skas",
        kernel / "arch/x86/include",
        kernel / "arch/x86/include/uapi",
        scratch / "generic",
        scratch / "generic/uapi",
    ]
    first = ["compiler-version.h", "kconfig.h", "compiler_types.h"]
    return [word for folder in folders for word in ("-isystem", str(folder))] + [
        word for header in first for word in ("-include", str(kernel / "include/linux" / header))
    ]


def _generate_headers(kernel: Path, scratch: Path, flags: list[str]) -> None:
    """Generates the headers of `make prepare` that the driver's files include."""
    generated = scratch / "include/generated"
    for folder in (generated / "uapi/linux", scratch / "arch/asm", scratch / "generic/uapi"):
        folder.mkdir(parents=True)
    for name in EMPTY_HEADERS:
        (scratch / name).touch()
    (scratch / "generic/asm").symlink_to(kernel / "include/asm-generic")
    (scratch / "generic/uapi/asm").symlink_to(kernel / "include/uapi/asm-generic")
    listed = (kernel / "arch/um/include/asm/Kbuild").read_text()
    for name in re.findall(r"(?m)^generic-y \+= (\S+)", listed):
        (scratch / "arch/asm" / name).write_text(f"#include <asm-generic/{name}>\n")
    shutil.copy(HERE / "config.h", generated / "autoconf.h")
    (generated / "user_constants.h").write_text(_user_constants(kernel, scratch))
    for header, source in (
        ("bounds.h", "kernel/bounds.c"),
        ("asm-offsets.h", "arch/um/kernel/asm-offsets.c"),
    ):
        (generated / header).touch()
        (generated / header).write_text(_constants([*flags, str(kernel / source)]))


def _user_constants(kernel: Path, scratch: Path) -> str:
    """Returns the host's register layout, which the user-mode architecture needs."""
    shared = [kernel / "arch/um/include/shared", kernel / "arch/x86/um/shared", scratch / "include"]
    flags = ["-D__KERNEL__", "-D__UM_HOST__", *(f"-I{folder}" for folder in shared)]
    flags += ["-idirafter", str(kernel / "include"), "-w"]
    return _constants([*flags, str(kernel / "arch/x86/um/user-offsets.c")])


def _constants(arguments: list[str]) -> str:
    """Returns `#define` lines for the offsets that a file marks `->NAME value` in its assembly."""
    assembly = _run("cc", "-S", "-o", "-", *arguments).decode()
    found = re.findall(r'\.ascii\s+"->(\w+) [$#]?(-?\d+)', assembly)
    return "".join(f"#define {name} {value}\n" for name, value in found)


def _compile(scratch: Path, name: str, source: Path, flags: Iterable[str]) -> Path:
    _run("cc", "-c", *flags, str(source), "-o", str(scratch / name))
    return scratch / name


def _stubs(scratch: Path, objects: list[Path]) -> Path:
    """Compiles a stub for each undefined function. Calling one ends the run.

    Functions in `granted.txt` return 0 instead.
    """
    probe = scratch / "probe.so"
    _run("cc", "-shared", "-o", str(probe), *map(str, objects), "-pthread")
    listed = _run("nm", "--dynamic", "--undefined-only", str(probe)).decode().splitlines()
    missing = sorted(line.split()[1] for line in listed if "@" not in line and " U " in line)
    defined = set(re.findall(r" [TW] (\w+)", _run("nm", *map(str, objects)).decode()))
    granted = set(re.findall(r"(?m)^\w+", (HERE / "kernel/granted.txt").read_text()))
    source = scratch / "stubs.c"
    declared = "void witness_missing(const char *name) __attribute__((noreturn));\n"
    source.write_text(declared + "".join(_stub(name, granted, defined) for name in missing))
    return _compile(scratch, "stubs.o", source, ["-fPIC", "-fvisibility=hidden", "-w"])


def _stub(name: str, granted: set[str], defined: set[str]) -> str:
    plain = name.removesuffix("_noprof")  # allocators have it since 6.10
    if plain in granted:
        return f"long {name}(void) {{ return 0; }}\n"
    if plain in defined:
        return f'asm(".globl {name}\\n{name}: jmp {plain}@PLT");\n'
    return f'void {name}(void) {{ witness_missing("{name}"); }}\n'


def _link(scratch: Path, objects: list[Path]) -> None:
    exports = scratch / "exports.map"
    exports.write_text("{ global: witness_*; local: *; };\n")
    _run(
        "cc",
        "-shared",
        "-o",
        str(scratch / LIBRARY),
        *map(str, objects),
        f"-Wl,-T,{HERE / 'kernel/fixups.ld'}",
        f"-Wl,--version-script={exports}",
        "-Wl,--no-undefined",
        "-pthread",
    )


def _run(*command: str) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed") from error
    if done.returncode:
        text = done.stderr.decode(errors="replace")[-4000:]
        raise BuildError(f"{command[0]} failed on {command[-1]}:\n{text}")
    return done.stdout
