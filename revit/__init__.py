"""Fine-tuning of one vision transformer, once, with one seed."""
