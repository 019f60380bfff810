"""Lint: finds faults in a graph that do not keep it from being built, and fixes them."""
