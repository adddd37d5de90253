"""What one trial is: fine-tuning one vision transformer once, with one seed."""
