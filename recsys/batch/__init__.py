"""The jobs: train, evaluate and score whole tables."""
