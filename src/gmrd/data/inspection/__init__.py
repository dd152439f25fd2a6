"""Checks of a data root, with explanations."""
