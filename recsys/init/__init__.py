"""Somebody's files in, a project that trains out: guesses, each with its reason."""
