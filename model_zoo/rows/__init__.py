"""The catalogue's rows, by the codebase whose names, architecture and convention they have."""
