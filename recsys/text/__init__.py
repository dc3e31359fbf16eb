"""Text into numbers: encoder, towers, training, item vectors; the only home of torch, transformers, Lightning.

Interest says how well an item's text matches what a user clicked, appeal how much it attracts anybody, and the text
score is their sum; `recsys.text.signals` computes them, `recsys.text.user_tower` holds the formula.
"""
