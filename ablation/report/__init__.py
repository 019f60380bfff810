"""A study's report: verdicts in words, tables, charts, and one HTML page with all of them."""
