"""What is wrong with a data root, and what it means."""
