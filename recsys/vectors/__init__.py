"""What serving needs of text, in numpy: item vectors, towers, signals, neighbours, queries."""
