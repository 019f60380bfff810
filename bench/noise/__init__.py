"""How much noise a score has, and which way to score the same runs has less."""
