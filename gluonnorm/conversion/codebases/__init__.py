"""One file for each codebase: its names and layouts for the parameters of gluonnorm."""
