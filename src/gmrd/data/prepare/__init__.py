"""From a challenge's download to the volumes, labels and supervoxels that training reads."""
