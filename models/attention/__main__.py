"""`python -m models.attention`: the library at a glance, measured and printed by
models/costs/glance.py.
"""

from __future__ import annotations

import runpy

if __name__ == "__main__":  # a program of its own, which imports this package
    runpy.run_module("models.costs.glance", run_name="__main__")
