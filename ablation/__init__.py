"""Attention studies: arms and seeds, runs of train.py, and what they say together."""
