"""From the volumes on disk to the episodes that train and the cases that are evaluated."""
