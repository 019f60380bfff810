"""The synthetic data set: textured shapes on a cluttered background, drawn by the project."""
