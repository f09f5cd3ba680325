"""The Examples tab."""
