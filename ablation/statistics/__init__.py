"""The statistics of scores: intervals, verdicts, and how many seeds a verdict needs."""
