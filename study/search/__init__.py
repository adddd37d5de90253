"""The search inside each cell: points, samplers, pruners, winners."""
