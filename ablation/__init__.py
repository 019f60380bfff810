"""Attention measured: a study of arms and seeds, its cells run as ordinary trainings, and what they
say together.
"""
