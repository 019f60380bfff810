"""Attention studies: arms and seeds, runs of train.py, and their evaluation."""
