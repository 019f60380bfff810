"""From a frame to detections, and to everything that is written or shown of them."""
