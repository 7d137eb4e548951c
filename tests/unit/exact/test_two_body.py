"""Two-body matrix elements, against independent quadrature."""

import mpmath
import numpy as np
import pytest

from tf_nqs.exact.free_fermions import oscillator_orbitals
from tf_nqs.exact.two_body import (
    oscillator_brackets,
    pair_matrix,
    relative_gaussian,
    relative_hamiltonian,
)


def _pairs(largest_sum, parity):
    return [(i, s - i) for s in range(parity, largest_sum + 1, 2) for i in range((s + 1) // 2)]


@pytest.mark.parametrize(
    ("bra", "ket", "width", "frequency"),
    [
        (1, 1, 0.5, 1.0),
        (1, 7, 0.5, 2.3),
        (71, 69, 0.5, 1.0),
        (70, 2, 0.05, 1.7),
        (31, 33, 5.0, 0.6),
    ],
)
def test_relative_elements_match_mpmath(bra, ket, width, frequency):
    """30 digits, up to level 71."""

    def integrand(u):
        levels = [mpmath.hermite(n, u) / mpmath.sqrt(mpmath.mpf(2) ** n * mpmath.factorial(n)) for n in (bra, ket)]
        gaussian = mpmath.exp(-(u**2) * (1 + 1 / (mpmath.mpf(frequency) * mpmath.mpf(width) ** 2)))
        return levels[0] * levels[1] * gaussian / mpmath.sqrt(mpmath.pi)

    with mpmath.workdps(30):
        # The trapezoidal rule is exact to rounding: integrand analytic, step far below the
        # shortest wave (level 71: 0.5) and the shortest range (0.05).
        step, reach = mpmath.mpf(1) / 100, 1500
        total = step * mpmath.fsum(integrand(step * k) for k in range(-reach, reach + 1))
        exact = float(3 / (mpmath.sqrt(2 * mpmath.pi) * width) * total)
    element = relative_gaussian(72, 3.0, width, frequency)[bra, ket]
    # Rounding is relative to the height of the Gaussian.
    assert element == pytest.approx(exact, abs=1e-13 * 3.0 / width)


def test_pair_elements_match_a_direct_double_integral():
    """Direct minus exchange, without brackets, up to orbital 70."""
    strength, width, frequency, largest_sum = 3.0, 0.5, 1.7, 137
    # Pairs with orbitals up to 70, on a grid on which the trapezoidal rule is exact to rounding.
    u, step = np.linspace(-16.0, 16.0, 1281, retstep=True)
    orbitals = oscillator_orbitals(71, u)
    distance = (u[:, None] - u[None, :]) / np.sqrt(frequency)
    potential = strength / (np.sqrt(2 * np.pi) * width) * np.exp(-0.5 * (distance / width) ** 2)

    def direct(a, b, c, d):
        return step**2 * (orbitals[a] * orbitals[c]) @ potential @ (orbitals[b] * orbitals[d])

    relative = relative_gaussian(largest_sum + 1, strength, width, frequency)
    brackets = oscillator_brackets(largest_sum)
    for parity, cases in {
        1: [((0, 1), (0, 1)), ((0, 1), (2, 5)), ((66, 69), (67, 70)), ((3, 70), (0, 1))],
        0: [((0, 2), (0, 2)), ((1, 3), (0, 2)), ((64, 70), (66, 68)), ((0, 2), (35, 69))],
    }.items():
        matrix, pairs = pair_matrix(relative, brackets, parity), _pairs(largest_sum, parity)
        assert matrix.shape == (len(pairs), len(pairs))
        for (a, b), (c, d) in cases:
            element = matrix[pairs.index((a, b)), pairs.index((c, d))]
            exact = direct(a, b, c, d) - direct(a, b, d, c)
            assert element == pytest.approx(exact, abs=1e-12)


def test_brackets_are_orthogonal_and_have_the_known_first_shells():
    """Values and phases by hand, stability up to shell 200."""
    brackets = oscillator_brackets(200)
    half = np.sqrt(0.5)
    # Columns: 0, 1 quanta of relative motion; rows: 0, 1 quanta of particle 1.
    np.testing.assert_allclose(brackets[1], [[half, -half], [half, half]], atol=1e-15)
    np.testing.assert_allclose(brackets[2][:, 1], [-half, 0.0, half], atol=1e-15)
    for bracket in brackets[::20]:
        # Rounding grows by about 1.5e-16 a shell.
        np.testing.assert_allclose(bracket @ bracket.T, np.eye(len(bracket)), atol=1e-13)


def test_free_relative_motion_of_two_particles_has_trap_levels():
    """Kinetic energy and trap in a foreign frequency."""
    # A = 2: one pair, h = (p^2 + r^2) / 2 whatever the basis' frequency.
    hamiltonian = relative_hamiltonian(80, 2, 0.0, 1.0, 1.4)
    np.testing.assert_allclose(np.linalg.eigvalsh(hamiltonian)[:6], np.arange(6) + 0.5, atol=1e-10)
