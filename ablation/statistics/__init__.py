"""What may be said of two sets of scores: intervals, verdicts, and how many seeds they need."""
