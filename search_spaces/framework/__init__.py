"""The framework that studies are written in: search space, claims, recipes, scales, published numbers."""
