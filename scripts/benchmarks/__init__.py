"""The parts of scripts/benchmark.py.

Three files run in the parent process: ``groups`` (what is compared), ``measure`` (which asks the
rows in turn, through ``row_client``) and ``page`` (which writes the result). ``row_gluonnorm``,
``row_gluoncv`` and ``row_torchvision`` are the programs of the rows' own processes; ``row_server``
and ``inputs`` are what these programs share.
"""
