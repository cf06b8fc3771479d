from gluonnorm.data import DataError, Faults

import pytest


def collect(count, skip=False):
    faults = Faults("train.json", skip=skip)
    for row in range(count):
        with faults.catch():
            raise DataError(f"train.json: row {row} is wrong")
    return faults


def test_no_fault_raises_nothing():
    faults = collect(0)
    faults.raise_if_any()
    assert faults.messages == ()


def test_a_single_fault_keeps_its_message():
    with pytest.raises(DataError) as caught:
        collect(1).raise_if_any()
    assert str(caught.value) == "train.json: row 0 is wrong"


def test_several_faults_make_one_line_with_the_first_ones_and_a_count():
    with pytest.raises(DataError) as caught:
        collect(12).raise_if_any()
    message = str(caught.value)
    assert message.startswith("train.json: 12 faults") and message.endswith("and 7 more")
    assert "row 0 is wrong" in message and "row 4 is wrong" in message
    assert "row 5 is wrong" not in message
    assert "\n" not in message and "--skip-bad" in message


def test_as_many_as_are_shown_hide_none():
    with pytest.raises(DataError) as caught:
        collect(5).raise_if_any()
    assert "row 4 is wrong" in str(caught.value) and "more" not in str(caught.value)


def test_skipped_faults_raise_nothing_and_are_kept():
    faults = collect(3, skip=True)
    faults.raise_if_any()
    assert len(faults.messages) == 3 and faults.messages[2] == "train.json: row 2 is wrong"


def test_added_and_caught_faults_keep_their_order():
    faults = Faults("folder")
    faults.add("first")
    with faults.catch():
        raise DataError("second")
    with faults.catch():
        pass
    assert faults.messages == ("first", "second")


def test_other_errors_are_not_swallowed():
    with pytest.raises(KeyError):
        with Faults("folder", skip=True).catch():
            raise KeyError("a bug")
