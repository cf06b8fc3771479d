import sys

from gluonnorm.errors import GluonnormError, InputError
from gluonnorm.late_import import import_late

import pytest


def test_a_module_is_imported():
    assert import_late("json", InputError, "this", "that").loads("[1]") == [1]


def test_a_missing_package_is_one_line_that_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "needs_other.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError) as caught:
        import_late("needs_other", InputError, "photos are turned by it", "pip install it")
    assert str(caught.value) == (
        "photos are turned by it (No module named 'no_such_package'); pip install it"
    )
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_package_that_does_not_fit_another_is_named(monkeypatch, tmp_path):
    (tmp_path / "needs_attribute.py").write_text("import json\njson.gone\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ImportError, match="needs_attribute cannot be imported: .*'gone'"):
        import_late("needs_attribute", InputError, "this", "that")


def test_a_mistake_in_the_module_keeps_its_own_error(monkeypatch, tmp_path):
    (tmp_path / "has_mistake.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        import_late("has_mistake", GluonnormError, "this", "that")
    assert "has_mistake" not in sys.modules
