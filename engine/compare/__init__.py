"""Runs beside each other: figures and tables for a paper, made by compare.py."""
