"""The parts of scripts/benchmark.py: rows, processes, measurements and the page."""
