"""Lint: what builds although it is wrong in a graph, and how it is fixed."""
