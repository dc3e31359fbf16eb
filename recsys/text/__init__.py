"""Text into numbers: encoder, towers, training, item vectors; the only home of torch, transformers, Lightning."""
