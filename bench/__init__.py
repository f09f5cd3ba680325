"""Timings. They live here and not in the tests, because they depend on the machine."""
