"""Prediction: from annotated scans to the organs in other scans, in their own geometry."""
