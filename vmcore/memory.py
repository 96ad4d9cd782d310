"""Memory that has a file descriptor: untouched it costs nothing, and it can be mapped twice."""

from __future__ import annotations

import mmap
import os


class MemoryFile:
    """`size` zero bytes in memory, allocated page by page as they are touched.

    `view` is the memory itself, writable; `fileno()` is for those that copy or map it again.
    Raises `OSError` (ENOMEM, EMFILE, ...) where the system has none to give.
    """

    def __init__(self, label: str, size: int) -> None:
        fd = os.memfd_create(label, os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self.size = size
        self.view = memoryview(self._map)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Free the memory: at once, or when the last view that someone still holds has gone."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        try:
            self.view.release()
            self._map.close()
        except BufferError:
            del self.view, self._map

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
