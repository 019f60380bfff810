"""A trained detector as a file for other programs; formats.py lists the formats, a file each."""
