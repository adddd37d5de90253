"""Datasets: registry, readers, image store, splits, augmentations, batches."""
