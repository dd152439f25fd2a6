"""Training-free segmentation: pretrained features of two scans, aligned and densely matched."""
