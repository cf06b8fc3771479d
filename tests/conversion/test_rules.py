"""The language of the tables, on tables made up here."""

from gluonnorm.conversion.codebase import Codebase, source_names
from gluonnorm.conversion.layouts import (
    BOXES,
    BOXES_WITH_BACKGROUND,
    FLATTENED,
    MASKS_WITH_BACKGROUND,
    SCORES_BACKGROUND_LAST,
)
from gluonnorm.conversion.rules import Rule, norm_kinds

import numpy as np
import pytest


def names(rules, ours, shapes=None, **settings):
    codebase = Codebase("made up", rules, **settings)
    return source_names(codebase, shapes or {ours: (1,)})[ours].candidates


@pytest.mark.parametrize(
    "template, expected",
    [
        ("x{i}", "x6"),
        ("x{i-2}.y", "x4.y"),
        ("{i+1}", "7"),
        ("{i/2}", "3"),
        ("{i/2*3+1}", "10"),
        ("{i-1*2}", "10"),
        ("{word}{i}", "conv6"),
        ("_[mask]_{i}", "_[mask]_6"),
    ],
)
def test_fields_and_their_arithmetic_from_left_to_right(template, expected):
    rule = Rule(r"(?P<word>conv)\.(?P<i>\d)", (template + "/{leaf}",))
    assert names([rule], "conv.6.weight") == (expected + "/weight",)


def test_a_rule_matches_whole_layer_names_and_the_first_counts():
    rules = [Rule(r"a\.conv", ("first.{leaf}",)), Rule(r"a\.conv(?P<i>\d?)", ("second{i}.{leaf}",))]
    assert names(rules, "a.conv.weight") == ("first.weight",)
    assert names(rules, "a.conv2.weight") == ("second2.weight",)
    assert names(rules, "b.a.conv.weight") == ()


def test_candidates_go_by_template_then_by_leaf():
    rule = Rule("norm", ("new.{leaf}", "old.{leaf}"))
    leaves = {"running_mean": ("running_mean", "moving_mean")}
    assert names([rule], "norm.running_mean", leaves=leaves) == (
        "new.running_mean",
        "new.moving_mean",
        "old.running_mean",
        "old.moving_mean",
    )
    assert names([rule], "norm.gamma", leaves=leaves) == ()


def test_a_rule_may_have_words_of_its_own():
    rules = [Rule("a", ("a_{leaf}",), leaves={"weight": ("w",)}), Rule("b", ("b.{leaf}",))]
    assert names(rules, "a.weight") == ("a_w",) and names(rules, "b.weight") == ("b.weight",)


def test_kinds_of_norm_and_their_words():
    shapes = {
        "a.gamma": (4,),
        "a.running_mean": (4,),
        "b.gamma": (4,),
        "c.gamma": (4,),
        "c.mean_weight": (3,),
        "c.running_mean": (4,),
        "d.weight": (4,),
    }
    assert norm_kinds(shapes) == {"a": "bn", "b": "gn", "c": "sn"}
    rules = [Rule("(?P<layer>[abc])", ("{layer}_{norm}_{leaf}",))]
    assert names(rules, "b.gamma", shapes) == ("b_gn_weight",)
    assert names(rules, "a.gamma", shapes, norm_words={"bn": "batchnorm"}) == (
        "a_batchnorm_weight",
    )


def test_rules_may_depend_on_the_network():
    def rules(shapes):
        return [Rule("a", (f"{len(shapes)}.{{leaf}}",))]

    assert names(rules, "a.bias", {"a.weight": (1,), "a.bias": (1,)}) == ("2.bias",)


@pytest.mark.parametrize(
    "change, theirs_shape, ours_shape",
    [
        (SCORES_BACKGROUND_LAST, (81, 3), (81, 3)),
        (BOXES, (320, 3), (320, 3)),
        (BOXES_WITH_BACKGROUND, (324,), (320,)),
        (MASKS_WITH_BACKGROUND, (81, 2, 1, 1), (80, 2, 1, 1)),
        (FLATTENED, (64,), (64,)),
    ],
)
def test_what_is_saved_loads_as_it_was(change, theirs_shape, ours_shape):
    ours = np.random.default_rng(0).normal(size=ours_shape)
    stored = change.save(ours)
    assert stored.shape == theirs_shape
    np.testing.assert_array_equal(change.load(stored, ours_shape), ours)


def test_rows_that_others_store_and_nobody_reads_are_zeros():
    assert not BOXES_WITH_BACKGROUND.save(np.ones((8, 3)))[:4].any()
    assert not MASKS_WITH_BACKGROUND.save(np.ones((2, 3, 1, 1)))[0].any()


def test_the_last_row_comes_first():
    np.testing.assert_array_equal(SCORES_BACKGROUND_LAST.load(np.array([1, 2, 0]), (3,)), [0, 1, 2])


@pytest.mark.parametrize("change, rows", [(BOXES, 4), (BOXES_WITH_BACKGROUND, 8)])
def test_boxes_without_classes_are_repeated(change, rows):
    found = change.load(np.arange(rows), (12,))
    np.testing.assert_array_equal(found, np.tile(np.arange(rows - 4, rows), 3))
    assert len(change.load(np.arange(rows), (4,))) == 4  # one class: nothing to repeat


@pytest.mark.parametrize("shape", [(1, 64, 1, 1), (1, 64, 1), (64,)])
def test_axes_of_length_1_go(shape):
    assert FLATTENED.load(np.ones(shape), (64,)).shape == (64,)
    assert FLATTENED.load(np.ones((2, 64)), (64,)).shape == (2, 64)  # not one row of channels
