"""Two scans without training: their features, aligned in space and matched position by position."""
