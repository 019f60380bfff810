"""What graphs and attention modules cost: multiply-adds, bytes moved, time and memory."""
