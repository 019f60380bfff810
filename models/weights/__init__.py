"""From checkpoints to models: loading, alignment of rows, transfer of weights, ensembles."""
