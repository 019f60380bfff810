"""Detection heads: raw maps to boxes, with anchors and without."""
