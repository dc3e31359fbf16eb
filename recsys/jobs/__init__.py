"""One file a verb: train, evaluate, compare, score, features, demo."""
