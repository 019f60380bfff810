"""A record of what the programs do: `python -m benchmarks.behaviour`."""
