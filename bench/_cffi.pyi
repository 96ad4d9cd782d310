"""The compiled loads; their declarations are load.h."""

from typing import Any

ffi: Any
lib: Any
