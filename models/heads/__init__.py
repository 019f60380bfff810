"""Detection heads: from raw maps to boxes, with anchors and without."""
