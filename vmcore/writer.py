"""Writes a vmcore file."""

from __future__ import annotations

import os
from collections.abc import Callable

from vmcoredd.vmcore.core import ElfCore
from vmcoredd.vmcore.devicedumps import DeviceDumps
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.extents import joined
from vmcoredd.vmcore.image import Image
from vmcoredd.vmcore.output import Output

Progress = Callable[[int, int], None]

_STEPS = 10  # progress is reported at most this power of two times


def write(
    path: str | os.PathLike[str],
    dumps: DeviceDumps,
    *,
    base: ElfCore | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> int:
    """Writes a vmcore of `dumps` and their crash context, or `base`; returns its size in bytes.

    The program headers follow the ELF header, data begin on page boundaries, and there are no
    sections (except the one that counts more than 65534 program headers). Segments contain the
    data in the base's file (p_filesz). The data do not pass through this process's memory; holes
    stay holes, and pages of a dump that were never written become holes. `progress(done, total)`
    counts bytes of the output, holes included.

    The file appears under its name once it is complete, readable only by its owner; `force`
    replaces an existing file. A pipe, or standard output for the path `-`, gets the bytes in order,
    zeros for holes. Raises `OutputExists`, `OutputUnsuitable`; `VmcoreFormatError` if the
    base is truncated, its byte order differs from the dumps', or the result is too large for ELF32;
    `OSError` from the system calls (ENOSPC, EACCES, ...).
    """
    image = _image(dumps, base)
    total = image.size
    told = 0

    def advance(done: int) -> None:
        nonlocal told
        if progress is not None and (done == total or done - told >= total >> _STEPS):
            progress(done, total)
            told = done

    with Output(path, force=force) as out:
        copier = out.copier(advance)
        for extent in joined(image.extents):
            if extent.source is not None:
                copier.copy(extent.source.fileno(), extent.offset, extent.size, extent.start)
            advance(extent.end)
        copier.end(total)
    return total


def _image(dumps: DeviceDumps, base: ElfCore | None) -> Image:
    """Returns the image of the file: the current dumps and the data of the base's file."""
    context = base if base is not None else dumps.base
    have, need = context.layout.order, dumps.base.layout.order
    if have != need:
        raise VmcoreFormatError("the base", f"{need}-endian as the device dumps", f"{have}-endian")
    return Image(context, dumps.dumps, stored=True)
