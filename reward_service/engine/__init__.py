"""Computes scores in bulk without being fooled, stalled or brought down by what it measures."""
