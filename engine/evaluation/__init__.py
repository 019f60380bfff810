"""How good detections are: matching, precision and recall, average precision, COCO's protocol."""
