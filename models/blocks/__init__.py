"""Blocks that rows of a graph may name, besides those of models/common.py."""
