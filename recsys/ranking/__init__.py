"""Numbers into an order: the LightGBM ranker and the one score function of batch and serving."""
