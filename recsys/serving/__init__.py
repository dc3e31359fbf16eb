"""Rankings inside somebody's process, without torch."""
