"""The compiled engine; its declarations are engine.h, inproc.h and mmio.h."""

from typing import Any

ffi: Any
lib: Any
