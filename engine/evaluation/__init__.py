"""Scores of detections: matching, precision and recall, average precision, COCO's protocol."""
