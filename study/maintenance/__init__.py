"""Care of a store and of what studies need: doctor, prune, fetch, disk space."""
