"""Looking at every image and label once, and keeping what was seen in a cache."""
