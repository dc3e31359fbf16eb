"""The model folder, and a model that knows a moment."""
