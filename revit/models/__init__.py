"""Models: which there are, how one is built, its weights and what they cost."""
