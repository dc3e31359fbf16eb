"""Evaluations and comparisons for people: tables for the terminal, self-contained pages."""
