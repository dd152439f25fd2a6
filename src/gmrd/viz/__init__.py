"""Every overlay and figure."""
