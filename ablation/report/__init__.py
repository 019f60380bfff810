"""What a study shows: verdicts in words, tables, charts and one HTML page."""
