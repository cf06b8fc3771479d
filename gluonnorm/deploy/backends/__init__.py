"""Run times of exported networks: one small class each, with the duty of ``backend.Backend``.

``choice.py`` imports the file of one of them by its name, because each needs another package.
"""
