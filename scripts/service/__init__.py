"""The HTTP service of ``serve.py``.

A request is read by ``uploads``, its photos are prepared on a few threads, ``model_thread`` runs
the network on batches of photos of one size, and ``answers`` writes JSON or a picture.
``application`` has the routes. ``server`` runs the application in one process, with the time limits
of ``client_timeouts``, and ``workers`` runs several such processes.
"""
