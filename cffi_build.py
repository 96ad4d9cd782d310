"""The C extensions: one `FFI` object for each, named in setup.py.

The text of a header goes to `cdef()` and to the compiler alike, so Python sees the layout the
compiler chose. Headers therefore hold declarations only; `_Static_assert`s are in the `.c` files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
INTERFACE = "pyvfio_user/src/pyvfio_user/include"
"""The headers that pyvfio_user declares to other extensions, as this source tree has them."""
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
"""For our C. The files that cffi generates have warnings of their own, so a test applies these."""
OPTIMISE = ["-O2", "-g", "-fno-strict-aliasing"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-O1"]


def _extension(room: str, headers: list[str], sources: list[str], callbacks: str = "") -> FFI:
    """Returns the builder of `vmcoredd.<room>._cffi`; `headers` are both declared to Python and
    included by C."""
    sanitize = SANITIZE if os.environ.get("VMCOREDD_SANITIZE") else []
    folders = [ROOT, ROOT / INTERFACE]
    builder = FFI()
    builder.cdef(_declarations(headers, folders) + callbacks)
    builder.set_source(
        f"vmcoredd.{room}._cffi",
        "#include <stdint.h>\n#include <stddef.h>\n"
        + "".join(f'#include "{header}"\n' for header in headers),
        sources=[_path(room, source) for source in sources],
        include_dirs=[str(folder) for folder in folders],
        depends=[str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("vmcoredd/**/*.h"))],
        extra_compile_args=[*OPTIMISE, *sanitize],
        extra_link_args=sanitize,
    )
    return builder


def _path(room: str, source: str) -> str:
    """A source of the room, or of another one (`vmcoredd/trace/ring.c`)."""
    return source if source.startswith("vmcoredd/") else f"vmcoredd/{room}/{source}"


def _declarations(headers: list[str], folders: list[Path]) -> str:
    """Returns the headers' text without #include lines, as `cdef()` wants it."""
    paths = [next(f / name for f in folders if (f / name).exists()) for name in headers]
    text = "\n".join(path.read_text() for path in paths)
    return re.sub(r"(?m)^#include.*$", "", text)


driver = _extension(
    "driver",
    [
        "pyvfio_user/io.h",
        "vmcoredd/driver/engine.h",
        "vmcoredd/driver/inproc.h",
        "vmcoredd/driver/mmio.h",
    ],
    ["engine.c", "inproc.c", "mmio.c"],
)
trace = _extension("trace", ["vmcoredd/trace/ring.h"], ["ring.c"])
emu = _extension(
    "emu",
    [
        "pyvfio_user/host.h",
        "pyvfio_user/work.h",
        "vmcoredd/trace/ring.h",
        "vmcoredd/emu/core.h",
        "vmcoredd/emu/engine/engine.h",
    ],
    [
        "vmcoredd/trace/ring.c",
        "core.c",
        "record.c",
        "lookup.c",
        "window.c",
        "engine/contexts.c",
        "engine/control.c",
        "engine/dma.c",
        "engine/doorbell.c",
        "engine/egress.c",
        "engine/ethernet.c",
        "engine/filters.c",
        "engine/gather.c",
        "engine/engine.c",
        "engine/checksum.c",
        "engine/flows.c",
        "engine/freelist.c",
        "engine/headers.c",
        "engine/ingress.c",
        "engine/irq.c",
        "engine/offload.c",
        "engine/pace.c",
        "engine/pause.c",
        "engine/port.c",
        "engine/receive.c",
        "engine/rewrite.c",
        "engine/sending.c",
        "engine/rss.c",
        "engine/statistics.c",
        "engine/stream.c",
        "engine/wire.c",
        "engine/capture.c",
        "engine/record.c",
    ],
    callbacks="""
        extern "Python" int emu_on_read(void *handle, uint32_t hook, uint32_t *value);
        extern "Python" int emu_on_write(void *handle, uint32_t hook, uint32_t value);
        extern "Python" int emu_on_config(void *handle, uint64_t offset, void *data,
                                          uint32_t length, int is_write);
        extern "Python" int emu_on_log(void *handle, int kind, uint32_t space, uint64_t offset,
                                          uint32_t length, int is_write);
        extern "Python" void emu_on_trouble(void *handle, int trouble, uint32_t queue,
                                            uint64_t what, int error);
        extern "Python" void emu_on_link(void *handle, uint32_t port, int up);
    """,
)
bench = _extension(
    "bench",
    [
        "pyvfio_user/io.h",
        "pyvfio_user/host.h",
        "pyvfio_user/work.h",
        "vmcoredd/bench/load.h",
        "vmcoredd/bench/rings.h",
    ],
    ["load.c", "rings.c"],
)
