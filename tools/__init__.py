"""Scripts for this repository that the product does not need."""
