"""Supervoxels: the pseudo-classes that self-supervised training learns from.

Arrays in, arrays out; nothing here reads files. ``gmrd-supervoxels`` does a folder.
"""

from gmrd.supervoxels.felzenszwalb import felzenszwalb
from gmrd.supervoxels.foreground import foreground_mask
from gmrd.supervoxels.pseudo_labels import pseudo_labels, rescale

__all__ = ["felzenszwalb", "foreground_mask", "pseudo_labels", "rescale"]
