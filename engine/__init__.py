"""Training, evaluation, inference and export of detectors, and the drawing of results."""
