"""The project's version, apart from the package `utils`, of which a program may have its own."""

from __future__ import annotations

__version__ = "0.9.0"
