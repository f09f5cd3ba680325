"""Measures networks: on the test split, on corrupted crops, on folders, on rendered people."""
