"""The compiled ring, declared in ring.h."""

from typing import Any

ffi: Any
lib: Any
