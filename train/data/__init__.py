"""Opens labelled pictures of any source, once, under names of this project."""
