"""A reader of other projects' pickled checkpoints that never runs what is in them."""
