"""A record of the programs' behaviour: `python -m bench.behaviour`."""
