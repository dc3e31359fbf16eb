"""Texts into item vectors: fields, tokens, encoders and the backends that serve them."""
