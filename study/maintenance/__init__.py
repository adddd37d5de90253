"""Maintenance of stores: doctor, prune, fetch, disk space."""
