"""The compiled engine; its declarations are engine.h and inproc.h."""

from typing import Any

ffi: Any
lib: Any
