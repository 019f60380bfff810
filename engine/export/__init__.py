"""Export of a trained detector for other programs; formats.py lists the formats."""
