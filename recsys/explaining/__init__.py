"""Why a list is in its order: what speaks for each candidate, which past clicks, which words of its text."""
