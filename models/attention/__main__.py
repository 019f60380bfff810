"""`python -m models.attention` measures all modules and prints a table: models/costs/glance.py."""

from __future__ import annotations

import runpy

if __name__ == "__main__":  # glance is a separate program, which imports this package
    runpy.run_module("models.costs.glance", run_name="__main__")
