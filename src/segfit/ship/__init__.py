"""Predict, run-length code, submit and score."""
