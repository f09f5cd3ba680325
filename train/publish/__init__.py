"""Publishes weights with their card, the page as a Space, and the table of the family."""
