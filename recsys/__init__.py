"""A personalised ranking engine that reads: fine-tuned text and behaviour, weighed by LightGBM."""
