"""What the programs run: training, evaluation, inference, and the drawing of what they find."""
