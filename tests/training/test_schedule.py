from gluonnorm.training import cosine, scale_for_batch, warmup_multistep

import pytest


def test_multistep_as_a_list() -> None:
    rates = [warmup_multistep(step, 1.0, milestones=(3, 5), decay=0.1) for step in range(7)]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01], rel=1e-12)


def test_warmup_as_a_list() -> None:
    rates = [
        warmup_multistep(step, 0.8, (6,), 0.5, warmup_steps=4, warmup_factor=0.25)
        for step in range(8)
    ]
    assert rates == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8, 0.8, 0.4, 0.4], rel=1e-12)


def test_milestone_inside_the_warmup_decays_too() -> None:
    assert warmup_multistep(1, 1.0, (1,), 0.1, warmup_steps=2, warmup_factor=0.0) == pytest.approx(
        0.05
    )


def test_no_milestones_is_constant() -> None:
    assert [warmup_multistep(step, 0.3, ()) for step in (0, 10, 10**6)] == [0.3] * 3


def test_cosine_as_a_list() -> None:
    rates = [cosine(step, 2.0, total=4) for step in range(6)]
    assert rates == pytest.approx([2, 1 + 0.5**0.5, 1, 1 - 0.5**0.5, 0, 0], abs=1e-12)


def test_cosine_with_warmup() -> None:
    rates = [cosine(step, 1.0, total=4, warmup_steps=2, warmup_factor=0.5) for step in range(3)]
    assert rates == pytest.approx([0.5, 0.75 * (1 + 0.5**0.5) / 2, 0.5], abs=1e-12)


def test_linear_scaling_rule() -> None:
    assert scale_for_batch(0.02, 2, 16) == pytest.approx(0.0025)
    assert scale_for_batch(0.02, 16, 16) == 0.02


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: warmup_multistep(0, 1.0, (5, 3)), r"\[5, 3\].*ascending"),
        (lambda: warmup_multistep(0, 1.0, (), warmup_steps=-1), "-1 steps"),
        (lambda: warmup_multistep(0, 1.0, (), warmup_steps=2, warmup_factor=1.5), "factor 1.5"),
        (lambda: cosine(0, 1.0, total=0), "total is 0"),
        (lambda: scale_for_batch(0.1, 0, 16), "0 and 16"),
    ],
)
def test_bad_arguments(call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call()
