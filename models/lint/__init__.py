"""What builds but is wrong in a graph, and how it is fixed."""
