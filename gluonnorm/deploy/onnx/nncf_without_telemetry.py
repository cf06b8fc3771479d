"""Keep nncf from reporting its use to its makers. Import this before nncf, which asks once.

A variable that is set already is left alone.
"""

import os

os.environ.setdefault("NNCF_CI", "1")
