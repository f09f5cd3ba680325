"""Video files <-> frames, their clock and their sound."""
