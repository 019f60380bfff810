"""From frames to detections, and to the files and windows that show them."""
