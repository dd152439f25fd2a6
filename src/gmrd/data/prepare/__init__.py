"""Preparation: from a challenge's download to volumes, labels and supervoxels for training."""
