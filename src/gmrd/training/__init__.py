"""Everything around the training loop: callbacks, resume, strategies, loggers."""
