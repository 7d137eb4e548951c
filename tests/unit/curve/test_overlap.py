"""The overlap of wave functions from samples, against Gaussians whose overlap is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tf_nqs.studies.curve.overlap import Ratios, overlap, susceptibility
from tf_nqs.types import Estimate

N_ROWS, N_WALKERS = 6, 512


class Pair:
    """The relative motion of two fermions, r exp(-frequency r^2/4), times any constant; sampled without error."""

    def __init__(self, frequency, constant=1.0):
        self.frequency, self.constant = frequency, constant

    def __call__(self, r):
        with np.errstate(divide="ignore"):
            log_abs = math.log(abs(self.constant)) + np.log(np.abs(r)) - 0.25 * self.frequency * r**2
        return np.sign(r) * math.copysign(1, self.constant), log_abs

    def sample(self, random):
        """Of r^2 exp(-frequency r^2/2): the length of a vector of three Gaussians."""
        length = np.linalg.norm(random.standard_normal((3, N_ROWS, N_WALKERS)), axis=0) / math.sqrt(self.frequency)
        return length * random.choice([-1.0, 1.0], size=length.shape)

    def overlap(self, other):
        geometric, mean = math.sqrt(self.frequency * other.frequency), 0.5 * (self.frequency + other.frequency)
        return (geometric / mean) ** 1.5


def ratios(first, second, r):
    (sign, log_abs), (other_sign, other_log) = first(r), second(r)
    return Ratios(sign * other_sign, other_log - log_abs)


def measured(first, second, seed=0):
    random = np.random.default_rng(seed)
    return overlap(*(ratios(first, second, one.sample(random)) for one in (first, second)))


@pytest.mark.parametrize("frequency", [1.02, 1.5, 6.0])
def test_the_overlap_is_exact_within_its_error(frequency):
    first, second = Pair(1.0), Pair(frequency, constant=-40.0)  # neither norm nor sign of either counts
    pulls = []
    for seed in range(20):
        found = measured(first, second, seed)
        pulls.append((found.value - first.overlap(second)) / found.error)
        assert 0 < found.error < 0.05 * (1 - first.overlap(second)) + 1e-12
    assert abs(np.mean(pulls)) < 4 / math.sqrt(20)
    assert 0.6 < np.std(pulls) < 1.5  # of 20 values the standard deviation is known to 16 %


def test_the_same_wave_function_has_overlap_one():
    found = measured(Pair(1.3), Pair(1.3, constant=5.0))
    assert found == (pytest.approx(1.0, abs=1e-12), pytest.approx(0.0, abs=1e-12))
    assert susceptibility(found, 0.5).value == pytest.approx(0.0, abs=1e-9)


def test_the_susceptibility_is_that_of_the_closed_form():
    """Of two particles with kappa r^2/2: frequency sqrt(1 + 2 kappa), and chi = 3/(8 frequency^4)."""
    kappa, step = 0.8, 0.05
    first, second = (Pair(math.sqrt(1 + 2 * one)) for one in (kappa - step / 2, kappa + step / 2))
    found = susceptibility(measured(first, second), step)
    exact = 3 / (8 * (1 + 2 * kappa) ** 2)
    assert abs(found.value - exact) < 4 * found.error
    assert found.error < 0.05 * exact


def test_signs_make_orthogonal_states_orthogonal():
    """r and |r| exp(...) differ by a sign alone."""
    r = Pair(1.0).sample(np.random.default_rng(0))
    odd = Ratios(np.sign(r), np.zeros_like(r))
    found = overlap(odd, odd)
    assert found.value < 4 * found.error


def test_samples_where_the_other_vanishes_count():
    zeros, ones = np.zeros((4, 128)), np.ones((4, 128))
    half = np.where(np.arange(128) % 2, -np.inf, 0.0) * ones
    found = overlap(Ratios(ones, half), Ratios(ones, half[:, ::-1]))
    assert 0 < found.value < 1
    nothing = overlap(Ratios(ones, zeros - np.inf), Ratios(ones, zeros + np.inf))
    assert math.isnan(nothing.value)
    assert math.isnan(overlap(Ratios(ones, zeros + np.nan), Ratios(ones, zeros)).value)


def test_no_overlap_has_an_infinite_susceptibility():
    assert susceptibility(Estimate(0.0, 0.0), 1.0).value == math.inf
    assert math.isnan(susceptibility(Estimate(math.nan, math.nan), 1.0).value)
