"""Fine-tuning: heads, losses, blocks of time; the only home of Lightning."""
