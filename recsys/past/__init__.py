"""Behaviour as a state: vocabularies, counters, look-ups, and a tail of what came later; numpy and polars alone."""
