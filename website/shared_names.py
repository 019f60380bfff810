"""For the API reference: one entry of a docstring may explain several names, as in `p, r: scores.`

Griffe, which reads docstrings for mkdocstrings, takes what follows the first space for a type. With
spaces that do not break it keeps the names together.
"""

from __future__ import annotations

from typing import Any

import griffe

from website.text import keep_together


class SharedNames(griffe.Extension):
    """Changes the docstrings of all objects that are read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Keep the names of shared entries together."""
        if obj.docstring:
            obj.docstring.value = keep_together(obj.docstring.value)
