"""From a frame to its detections, and to all that is written or shown of them."""
