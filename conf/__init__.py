"""The Hydra configuration tree of the gmrd commands."""
