"""What a training run is made of: its plan, its parts, its state, and its records."""
