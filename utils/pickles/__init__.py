"""A reader of the pickled checkpoints of other programs that never runs what is in them."""
