"""The Photo tab, and the view of a picture's result."""
