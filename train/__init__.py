"""Training: recipes, data, loop, export and evaluation. Imports fer; imported by nothing."""
