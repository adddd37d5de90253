"""Datasets: what each is, where its images are kept decoded, which of them a trial sees, and how."""
