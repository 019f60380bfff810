"""A person's own classes: nn.Module subclasses of the files that --modules names.

source.py imports such a file, registry.py holds its classes for the process, convention.py finds
out how their constructors want channels, and adapter.py makes them rows of a graph. Nothing here
knows graphs; models/graph/own.py builds the rows.
"""
