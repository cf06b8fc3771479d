"""A fixed limit of the C library's heaps, told by where the library places arrays."""

import ctypes
import subprocess
import sys

from gluonnorm.training import large_arrays

import pytest

# An array is freed first, which lets glibc raise its own limit above the array's size. The next
# one of that size is then in the heap, where the C library counts it.
PROGRAM = """
import ctypes
from gluonnorm.training.large_arrays import return_large_arrays

c_library = ctypes.CDLL(None)
c_library.malloc.restype = ctypes.c_void_p
print(return_large_arrays())
SIZE = 16 * 2**20
c_library.free(ctypes.c_void_p(c_library.malloc(ctypes.c_size_t(SIZE))))
array = c_library.malloc(ctypes.c_size_t(SIZE))
maps = open("/proc/self/maps").read().splitlines()
for line in maps:
    begin, end = (int(part, 16) for part in line.split()[0].split("-"))
    if begin <= array < end:
        print("heap" if "[heap]" in line else "own pages")
"""


def place_of_array(monkeypatch, **variables):
    for _, variable, _ in large_arrays.SETTINGS:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    result = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, check=True)
    return result.stdout.decode().splitlines()


pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"),
    reason="only glibc has these limits",
)


def test_a_large_array_has_pages_of_its_own(monkeypatch):
    assert place_of_array(monkeypatch) == ["True", "own pages"]


def test_a_limit_of_the_environment_is_left_alone(monkeypatch):
    places = place_of_array(monkeypatch, MALLOC_MMAP_THRESHOLD_=str(32 * 2**20))
    assert places == ["False", "heap"]


def test_another_c_library_is_left_alone(monkeypatch):
    for _, variable, _ in large_arrays.SETTINGS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not large_arrays.return_large_arrays()
