"""The plugin for napari: scans and label maps as layers, and the loop in a dock widget."""
