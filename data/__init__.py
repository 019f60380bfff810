"""From a dataset YAML to batches: index -> dataset -> augment and mix -> loader."""
