"""Names of the package and of the user: what may be registered, and what a name stands for."""

import functools

from gluonnorm.errors import InputError
from gluonnorm.registry import Registry, callable_name

import pytest


def double(number):
    return 2 * number


def within(factor):
    """A function that is another one at each call, at the same place."""

    def multiply(number):
        return factor * number

    return multiply


@pytest.fixture()
def numbers():
    return Registry("number", {"one": 1})


def test_a_registry_is_a_mapping_that_grows(numbers):
    numbers.register("two", 2)
    assert dict(numbers) == {"one": 1, "two": 2} and len(numbers) == 2
    assert "two" in numbers and "three" not in numbers
    with pytest.raises(KeyError):
        numbers["three"]


@pytest.mark.parametrize(
    "name, words",
    [
        ("one", "number 'one' belongs to gluonnorm; register yours under another name"),
        ("", "the name of a number is ''; give a word"),
        (3, "the name of a number is 3; give a word"),
    ],
)
def test_names_that_cannot_be_registered(numbers, name, words):
    with pytest.raises(InputError, match=words):
        numbers.register(name, 2)
    assert dict(numbers) == {"one": 1}


def test_a_name_keeps_its_meaning(numbers):
    numbers.register("double", double)
    numbers.register("double", double)
    with pytest.raises(InputError, match="'double' is registered already, as .*function double"):
        numbers.register("double", within(2))
    assert numbers["double"] is double


def test_a_function_that_is_defined_anew_takes_the_place_of_the_old_one(numbers):
    numbers.register("double", double)
    namespace = {"__name__": double.__module__}
    exec("def double(number):\n    return number + number\n", namespace)
    numbers.register("double", namespace["double"])
    assert numbers["double"] is namespace["double"]


@pytest.mark.parametrize("first, second", [(within(2), within(3)), (lambda: 1, lambda: 2)])
def test_other_functions_of_the_same_place_do_not(numbers, first, second):
    numbers.register("double", first)
    with pytest.raises(InputError, match="registered already"):
        numbers.register("double", second)
    assert numbers["double"] is first


def test_partials_are_the_same_if_their_arguments_are(numbers):
    numbers.register("binary", functools.partial(int, base=2))
    numbers.register("binary", functools.partial(int, base=2))
    with pytest.raises(InputError, match="registered already"):
        numbers.register("binary", functools.partial(int, base=3))


def test_the_way_out_suggests_a_name_and_the_plugin(numbers):
    assert numbers.way_out("onne") == (
        "; did you mean one? A number of your own needs the module that registers it: import that "
        "first, in a script with --plugin MODULE"
    )
    assert numbers.way_out("xyz").startswith(". A number of your own")


def test_names_of_callables():
    assert callable_name(double) == "double"
    assert callable_name(functools.partial(double, 2)) == "double(2)"
    assert callable_name(lambda: 1) == "" == callable_name(functools.partial(lambda: 1))
