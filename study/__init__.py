"""Running many trials, and reading them back."""
