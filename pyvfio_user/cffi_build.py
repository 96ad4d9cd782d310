"""The C extensions: one `FFI` object for each, named in setup.py.

The text of a header goes to `cdef()` and to the compiler alike, so Python sees the layout the
compiler chose. Headers therefore hold declarations only; `_Static_assert`s are in the `.c` files.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
PACKAGE = "src/pyvfio_user"
OPTIMISE = ["-O2", "-g", "-fno-strict-aliasing"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-O1"]


def _extension(
    module: str,
    headers: list[str],
    sources: list[str],
    *,
    declarations: str = "",
    definitions: str = "",
    include_dirs: Sequence[Path] = (),
    link: Sequence[str] = (),
) -> FFI:
    """Returns an extension; its `headers` are both declared to Python and compiled."""
    sanitize = SANITIZE if os.environ.get("VMCOREDD_SANITIZE") else []
    folders = [HERE / "src", HERE / PACKAGE / "include"]
    builder = FFI()
    builder.cdef(_declarations(headers, folders) + declarations)
    builder.set_source(
        module,
        "#include <stdint.h>\n#include <stddef.h>\n"
        + "".join(f'#include "{header}"\n' for header in headers)
        + definitions,
        sources=[f"{PACKAGE}/{source}" for source in sources],
        include_dirs=[str(folder) for folder in (*folders, *include_dirs)],
        depends=[str(path.relative_to(HERE)) for path in sorted(HERE.glob("src/**/*.h"))],
        extra_compile_args=[*OPTIMISE, *sanitize],
        extra_link_args=[*sanitize, *link],
    )
    return builder


def _declarations(headers: list[str], folders: list[Path]) -> str:
    """Returns the headers' text for `cdef()`, without #include lines."""
    paths = [next(f / name for f in folders if (f / name).exists()) for name in headers]
    text = "\n".join(path.read_text() for path in paths)
    return re.sub(r"(?m)^#include.*$", "", text)


client = _extension(
    "pyvfio_user._client",
    ["pyvfio_user/io.h", "pyvfio_user/client.h"],
    [
        "client.c",
        "client_dma.c",
        "client_io.c",
        "client_message.c",
        "client_socket.c",
        "patience.c",
    ],
)

ORIGIN = """
    const char *const server_library;      /* libvfio-user's version and origin, or NULL */
    const char *const server_unavailable;  /* why this build cannot serve, or NULL */
"""
CALLBACKS = """
    extern "Python" int server_on_access(void *cookie, uint64_t offset, void *data,
                                         uint32_t length, int is_write);
    extern "Python" int server_on_reset(void *handle, int reason);
    extern "Python" void server_on_dma_map(void *handle, uint64_t address, uint64_t size,
                                           int writable, int mapped);
    extern "Python" void server_on_dma_unmap(void *handle, uint64_t address, uint64_t size,
                                             int writable, int mapped);
    extern "Python" void server_on_log(void *handle, int level, const char *message);
    extern "Python" void server_on_wait(void *handle);
    extern "Python" void server_on_input(void *handle);
"""


def server() -> FFI:
    """Returns the extension with libvfio-user linked in or, without the library, a stub.

    This is a function because obtaining the library may take a download.
    """
    sys.path.insert(0, str(HERE))  # `vmcoredd` here is a link, in an sdist the part that we need
    from vmcoredd.debs import Unavailable, libvfio_user

    sanitize = SANITIZE if os.environ.get("VMCOREDD_SANITIZE") else []
    try:
        library = libvfio_user.obtain(sanitize, _say)
    except Unavailable as reason:
        return _extension(
            "pyvfio_user._server",
            [],
            [],
            declarations=ORIGIN,
            definitions=_origin(unavailable=f"built without libvfio-user: {reason}"),
        )
    return _extension(
        "pyvfio_user._server",
        ["pyvfio_user/io.h", "pyvfio_user/host.h", "pyvfio_user/work.h", "pyvfio_user/server.h"],
        [
            "patience.c",
            "server.c",
            "server_access.c",
            "server_check.c",
            "server_host.c",
            "server_irq.c",
            "server_loop.c",
            "server_sealed.c",
            "server_socket.c",
            "server_stream.c",
            "server_transport.c",
            "server_waiting.c",
            "server_work.c",
        ],
        declarations=ORIGIN + CALLBACKS,
        definitions=_origin(library=f"{library.version}, {library.origin}"),
        include_dirs=library.private_include_dirs,
        link=[*map(str, library.archives), "-Wl,--exclude-libs,ALL"],
    )


def _origin(library: str | None = None, unavailable: str | None = None) -> str:
    """Returns the C definitions for `ORIGIN`."""
    texts = {"server_library": library, "server_unavailable": unavailable}
    return "".join(
        f"static const char *const {name} = {json.dumps(text) if text else 'NULL'};\n"
        for name, text in texts.items()
    )


_said: set[str] = set()


def _say(what: str, _fraction: float | None) -> None:
    """Prints each step of obtaining the library once."""
    if what not in _said:
        _said.add(what)
        print(f"libvfio-user: {what}", file=sys.stderr)
