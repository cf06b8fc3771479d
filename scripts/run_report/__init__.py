"""The parts of report.py: one page about training runs."""
