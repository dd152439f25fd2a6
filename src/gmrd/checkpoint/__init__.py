"""Checkpoints: the file, what it remembers of its training, and the module rebuilt from it."""
