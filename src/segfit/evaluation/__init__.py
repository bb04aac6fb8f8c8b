"""Exact metrics from one confusion matrix, per-image records, and scoring at original resolution."""
