"""Renders pictures of people who do not exist, for the probe, the examples and training."""
