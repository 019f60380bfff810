"""What two sets of scores allow to conclude: intervals, verdicts, and how many seeds they need."""
