"""Checkpoints into models: loading, matching of rows, transfer, ensembles."""
