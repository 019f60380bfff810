"""The page, the pictures and the verdicts in docstrings that docs/studies leads to."""
