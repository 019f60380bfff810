"""Exported files as detectors, for val.py, detect.py and api/; load.py lists their kinds."""
