"""Faster forms of attention modules for a CPU in eager mode.

The file of a module in models/attention follows its paper. Where the plain operations are slow on a
CPU, a file of the same name in this folder computes the same values with less memory traffic: by a
hand-written backward pass, which keeps little more than the input, or by loops over parts of a map
that stay in the cache. Such a file is optional.

use_fast() of models/fast_form.py chooses between the two forms for all modules.
"""

from __future__ import annotations

from models.fast_form import traced, use_fast

__all__ = ["traced", "use_fast"]
