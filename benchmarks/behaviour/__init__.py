"""A record of the programs' behaviour: `python -m benchmarks.behaviour`."""
