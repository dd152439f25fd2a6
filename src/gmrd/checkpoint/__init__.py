"""Checkpoints: the file, its record of the training, and the module rebuilt from it."""
