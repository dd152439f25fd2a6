"""Every file format once: scans in, label maps out."""
