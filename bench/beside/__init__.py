"""Time and memory of this project beside the original programs, measured from outside."""
