"""The parts of scripts/benchmark.py.

A row is a process that computes one thing again and again. The parent process has ``groups`` (what
is compared), ``machine`` (where), ``measure`` (asks the rows in turn, through ``row_client``),
``results`` (what they answered), and ``page``, ``plot`` and ``agreement`` (write it down).
``row_gluonnorm``, ``row_gluoncv`` and ``row_torchvision`` are the programs of the rows. They share
``row_server``, which answers the parent, and ``inputs``. ``seeded_weights`` draws their weights.
"""
