"""All overlays and figures."""
