"""Blocks that rows of a graph name, beside those of models/common.py."""
