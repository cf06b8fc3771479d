"""One table a codebase: how its weight files name and lay out what this package has."""
