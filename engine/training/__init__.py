"""The parts of a training run: plan, model, optimizer, state and records."""
