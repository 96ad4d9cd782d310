"""The C extensions: one `FFI` object for each, named in setup.py.

The text of a header goes to `cdef()` and to the compiler alike, so Python sees the layout the compiler chose.
Headers therefore hold declarations only; guards and `_Static_assert` stand in the `.c` files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
# cffi's own generated file is not ours to warn about, so the warnings are switched on per source file.
OPTIMISE = ["-O2", "-g", "-fno-strict-aliasing"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]


def _declarations(*headers: str) -> str:
    """The headers' text without #include lines, as `cdef()` wants it."""
    text = "\n".join((ROOT / header).read_text() for header in headers)
    return re.sub(r"(?m)^#include.*$", "", text)


def _extension(
    module: str,
    headers: list[str],
    sources: list[str],
    *,
    callbacks: str = "",
    libraries: list[str] | None = None,
    include_dirs: list[str] | None = None,
    link: list[str] | None = None,
) -> FFI:
    """One extension: `headers` are both declared to Python and included by the compiler."""
    sanitize = SANITIZE if os.environ.get("VMCOREDD_SANITIZE") else []
    builder = FFI()
    builder.cdef(_declarations(*headers) + callbacks)
    builder.set_source(
        module,
        "#include <stdint.h>\n#include <stddef.h>\n"
        + "".join(f'#include "{header}"\n' for header in headers),
        sources=sources,
        include_dirs=[str(ROOT), *(include_dirs or [])],
        libraries=libraries or [],
        depends=headers,
        extra_compile_args=[*OPTIMISE, *sanitize],
        extra_link_args=[*sanitize, *(link or [])],
    )
    return builder


pyvfio_user_client = _extension(
    "pyvfio_user._client",
    ["pyvfio_user/io.h", "pyvfio_user/client.h"],
    [
        "pyvfio_user/client.c",
        "pyvfio_user/client_io.c",
        "pyvfio_user/client_reply.c",
        "pyvfio_user/client_socket.c",
    ],
)


driver = _extension(
    "driver._cffi",
    ["pyvfio_user/io.h", "driver/engine.h", "driver/inproc.h"],
    ["driver/engine.c", "driver/inproc.c"],
)
emu = _extension(
    "emu._cffi",
    ["emu/core.h"],
    ["emu/core.c", "emu/port.c", "emu/window.c"],
    callbacks="""
        extern "Python" int emu_on_read(void *handle, uint32_t hook, uint32_t *value);
        extern "Python" int emu_on_write(void *handle, uint32_t hook, uint32_t value);
        extern "Python" int emu_on_oddity(void *handle, int kind, uint32_t space, uint64_t offset,
                                          uint32_t length, int is_write);
    """,
)
