"""What surrounds a training: callbacks, resume, strategies, loggers."""
