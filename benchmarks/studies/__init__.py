"""Studies of the benchmarks, run by their files as those of users are."""
