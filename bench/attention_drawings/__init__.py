"""Drawings of the data flow of each attention module, for the site.

`python -m bench.attention_drawings [NAME ...]` runs each module once on a map without values,
records its operations (record.py, words.py), leaves out what only reshapes (simplify.py), arranges
the rest from top to bottom (layout.py) and writes docs/images/attention/NAME.svg (svg.py).
"""
