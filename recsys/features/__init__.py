"""Behaviour into numbers: declarations, one counting kernel, histories, the builder and its state."""
