"""A model's graph before it is a network: rows, scales, places of attention, wiring, shapes."""
