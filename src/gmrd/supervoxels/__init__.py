"""Supervoxels: the pseudo-classes of self-supervised training.

These functions take and return arrays and read no files; for a folder use ``gmrd-supervoxels``.
"""

from gmrd.supervoxels.felzenszwalb import felzenszwalb
from gmrd.supervoxels.foreground import foreground_mask
from gmrd.supervoxels.pseudo_labels import pseudo_labels, rescale

__all__ = ["felzenszwalb", "foreground_mask", "pseudo_labels", "rescale"]
