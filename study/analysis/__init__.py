"""Numbers from finished trials: tables of results, intervals, tests of claims."""
