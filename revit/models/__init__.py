"""Models: registry, construction, weights, cost."""
