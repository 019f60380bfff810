"""The scan of every image and label of a data set, and the cache of its result."""
