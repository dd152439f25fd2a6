"""The napari plugin: scans and label maps as layers, and the loop in a dock widget."""
