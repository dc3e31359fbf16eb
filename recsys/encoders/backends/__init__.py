"""Texts in, embeddings out: five ways to run one encoder, of which three need no torch."""
