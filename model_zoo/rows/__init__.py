"""The rows of the catalogue: a file for each codebase, with its names and settings."""
