"""The weights that are published: a file for each codebase, with its addresses and checksums."""
