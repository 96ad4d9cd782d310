"""The C extensions: one `FFI` object for each, named in setup.py.

The text of a header goes to `cdef()` and to the compiler alike, so Python sees the layout the
compiler chose. Headers therefore hold declarations only; `_Static_assert`s stand in the `.c` files.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
"""For our C. The files that cffi generates have warnings of their own, so a test applies these."""
OPTIMISE = ["-O2", "-g", "-fno-strict-aliasing"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]


def _declarations(*headers: str) -> str:
    """The headers' text without #include lines, as `cdef()` wants it."""
    text = "\n".join((ROOT / header).read_text() for header in headers)
    return re.sub(r"(?m)^#include.*$", "", text)


def _all_headers() -> list[str]:
    """Ours, internal ones included: a change of one builds everything anew, which takes seconds."""
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("*/*.h"))]


def _extension(
    module: str,
    headers: list[str],
    sources: list[str],
    *,
    callbacks: str = "",
    libraries: list[str] | None = None,
    include_dirs: list[str] | None = None,
    link: list[str] | None = None,
    macros: dict[str, str] | None = None,
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
        define_macros=[*(macros or {}).items()],
        depends=_all_headers(),
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


def pyvfio_user_server() -> FFI:
    """With libvfio-user linked in; where it cannot be had, a stub that says why not.

    A function, because obtaining the library may take a download.
    """
    sys.path.insert(0, str(ROOT))
    from debs import Unavailable, libvfio_user

    sanitize = SANITIZE if os.environ.get("VMCOREDD_SANITIZE") else []
    try:
        library = libvfio_user.obtain(sanitize, _say)
    except Unavailable as reason:
        return _extension(
            "pyvfio_user._server",
            ["pyvfio_user/server_library.h"],
            ["pyvfio_user/server_library.c"],
            macros={"UNAVAILABLE": json.dumps(f"built without libvfio-user: {reason}")},
        )
    system_calls = ["accept", "recv", "recvmsg", "sendmsg"]
    return _extension(
        "pyvfio_user._server",
        ["pyvfio_user/io.h", "pyvfio_user/server.h", "pyvfio_user/server_library.h"],
        [
            "pyvfio_user/server.c",
            "pyvfio_user/server_check.c",
            "pyvfio_user/server_device.c",
            "pyvfio_user/server_library.c",
            "pyvfio_user/server_socket.c",
            "pyvfio_user/server_stream.c",
        ],
        include_dirs=[str(folder) for folder in library.include_dirs],
        link=[
            *(str(archive) for archive in library.archives),
            *(f"-Wl,--wrap={name}" for name in system_calls),
            "-Wl,--exclude-libs,ALL",
        ],
        macros={"LIBRARY": json.dumps(f"{library.version}, {library.origin}")},
        callbacks="""
            extern "Python" int server_on_access(void *cookie, uint64_t offset, void *data,
                                                 uint32_t length, int is_write);
            extern "Python" int server_on_reset(void *handle, int reason);
            extern "Python" void server_on_dma_map(void *handle, uint64_t address, uint64_t size,
                                                   int writable, int mapped);
            extern "Python" void server_on_dma_unmap(void *handle, uint64_t address, uint64_t size,
                                                     int writable, int mapped);
            extern "Python" void server_on_log(void *handle, int level, const char *message);
        """,
    )


_said: set[str] = set()


def _say(what: str, _fraction: float | None) -> None:
    """A line for each thing that obtaining the library does."""
    if what not in _said:
        _said.add(what)
        print(f"libvfio-user: {what}", file=sys.stderr)


driver = _extension(
    "driver._cffi",
    ["pyvfio_user/io.h", "driver/engine.h", "driver/inproc.h"],
    ["driver/engine.c", "driver/inproc.c"],
)
emu = _extension(
    "emu._cffi",
    ["emu/core.h"],
    ["emu/config.c", "emu/core.c", "emu/port.c", "emu/window.c"],
    callbacks="""
        extern "Python" int emu_on_read(void *handle, uint32_t hook, uint32_t *value);
        extern "Python" int emu_on_write(void *handle, uint32_t hook, uint32_t value);
        extern "Python" int emu_on_config(void *handle, uint64_t offset, void *data,
                                          uint32_t length, int is_write);
        extern "Python" int emu_on_oddity(void *handle, int kind, uint32_t space, uint64_t offset,
                                          uint32_t length, int is_write);
    """,
)
bench = _extension("bench._cffi", ["pyvfio_user/io.h", "bench/load.h"], ["bench/load.c"])
