"""Packages of extras that a test needs."""

import importlib.util

import pytest


def require(*packages):
    """Skip a test where a package is not installed; none is imported."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
