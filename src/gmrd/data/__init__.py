"""From volumes on disk to episodes for training and cases for evaluation."""
