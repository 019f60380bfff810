"""Models that YOLOv5, YOLOv8 or a fork of theirs saved, as graphs and weights of this project."""
