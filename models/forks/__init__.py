"""What files of YOLO forks import: public names of blocks, helpers and small packages.

A person's file (--modules) was often written inside another program, `from .conv import Conv`. Its
imports are answered from here while it runs (models/own/imports.py), without that program:
names.py knows which name means which object, blocks.py and attention.py hold our blocks with the
constructors and attribute names that forks use, functions.py the helpers, and rearrange.py,
layers.py and toolkits.py stand in for the parts of einops, timm and mmcv that such files need.
"""
