"""Few-shot segmentation of medical volumes with multiple representative descriptors."""
