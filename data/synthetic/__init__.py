"""The synthetic data set that the project draws itself: textured shapes on cluttered ground."""
