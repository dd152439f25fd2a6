"""Readers and writers, one for each file format: scans in, label maps out."""
