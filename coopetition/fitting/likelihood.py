"""The likelihood of a measured curve, given a theory's error: maximised, or integrated.

The samples y_k of a curve (as errors) are modelled as

    y_k = floor + gain f_k + sigma u_k z_k,        floor >= 0, gain >= 0,

with the theory's error f and the autoregressive noise of `noise`.  With S the sum of squares of the
whitened z, the log likelihood is

    -n/2 log(2 pi sigma^2) - (n - 1)/2 log(1 - rho^2) - S / (2 sigma^2 (1 - rho^2)) - sum log u_k.

S, and every product of two whitened series, is a polynomial of degree 2 in rho: one pass over the
samples gives the likelihood of every rho.

`CurveProducts.most_likely_noise` maximises the likelihood over floor, gain, sigma and rho; the
deviance is -2 log likelihood.  `integrate` integrates the likelihood over them, with the prior

- uniform in rho from 0 to `largest_rho`, and 1 / sigma in sigma;
- flat in level = floor + gain mean(f), and in rise = gain deviation(f).

This prior does not depend on the scale of f, so integrals of different theories can be compared.
sigma, level and rise are integrated in closed form: they have a bivariate Student distribution with
n - 2 degrees of freedom, of which floor, gain >= 0 is a wedge.  The integral over rho = sin(phi) is
a sum over Gauss-Legendre nodes in phi, in which the likelihood has the same width, about
1 / sqrt(n), everywhere.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, log_ndtr, ndtri_exp

from coopetition.fitting.noise import Noise
from coopetition.tools.compiled_code import ensure_compiled, jit

Array = NDArray[np.float64]

FLAT = 1e-12  # deviation of an error, relative to its size, below which it is constant
LEAST_NOISE = 1e-12  # sigma, relative to the curve's deviation
NODES_PER_WIDTH = 1.6  # of Gauss-Legendre in phi
MIN_NODES = 16
LEAST_EFFECTIVE = 5  # effective samples of a curve
NEGLIGIBLE = 20.0  # logarithm of the factor by which a part is smaller than the rest
TURNS = 4  # of drawing variance, rise and floor
_HALF = 8 * np.linspace(0, 1, 201) ** 3
GRID = np.concatenate([-_HALF[:0:-1], _HALF])  # of a drawn rise, in standard deviations
EDGE_NODES, EDGE_WEIGHTS = np.polynomial.legendre.leggauss(24)


class CurveProducts(NamedTuple):
    """Sums over a curve's samples and the theory's error f, from which its likelihood is computed.

    If f is constant, they are those of an error that rises where the curve falls.

    n : samples
    is_constant : whether f is
    mean, deviation : of f, weighted by 1 / u^2
    level, rise : of the least-squares fit for rho = 0
    products : (3, 3, 3): powers of rho; then products of (1, (f - mean) / deviation, residual of
        that fit), all divided by u
    """

    n: int
    is_constant: bool
    mean: float
    deviation: float
    level: float
    rise: float
    products: Array

    @classmethod
    def of(cls, curve: tuple[Array, Array, Array]) -> Self:
        """Return the products of a curve y, a theory's error f and units u.

        The products are not finite if f is not.
        """
        y, f, u = curve
        products, fill = np.empty((3, 3, 3)), _compiled("products")
        mean, deviation, level, rise = fill(y, np.ascontiguousarray(f), u, products)
        is_constant = deviation <= FLAT * abs(mean)
        if is_constant:
            mean, deviation, level, rise = fill(y, 2 * y.max() - y, u, products)
        return cls(len(y), is_constant, mean, deviation, level, rise, products)

    def most_likely_noise(self) -> tuple[Noise, float]:
        """Return the noise of the largest likelihood, and the deviance there without 2 sum log u.

        The gain is 0 if f is constant.
        """
        n, ratio, largest = self.n, self.mean / self.deviation, math.asin(largest_rho(self.n))
        arguments = self.products, self.level, self.rise, ratio, n, largest
        rho, squares = _compiled("noise")(*arguments)
        deviance = n * math.log(2 * math.pi * math.e * squares / n) - math.log1p(-(rho**2))
        return Noise(math.sqrt(squares / (n * (1 - rho**2))), rho), deviance

    def integrate(self) -> tuple[float, Array]:
        """Return the log of the integrated likelihood times the product of u, and its parts by rho.

        The parts are the logarithms for each of `rho_nodes`.  If f is constant, nothing is likely.
        """
        n, ratio = self.n, self.mean / self.deviation
        rho, log_weights = rho_nodes(n)
        parts = np.full(len(rho), -np.inf)
        if self.is_constant:
            return -math.inf, parts
        arguments = self.products, self.level, self.rise, ratio, n, rho, log_weights, parts
        return _compiled("integral")(*arguments) + _constant(n), parts

    @staticmethod
    def draw(rng: np.random.Generator, curves: Sequence["CurveProducts"]) -> tuple[Array, Array]:
        """Return floor and gain (k, 2), and sigma and rho (k, 2), drawn for each of k errors.

        rho is one of `rho_nodes`.  The others are drawn in turns: the variance, the rise, the
        floor.
        """
        n, nodes = curves[0].n, rho_nodes(curves[0].n)[0]
        parts = np.array([each.integrate()[1] for each in curves])
        rho = nodes[(parts + rng.gumbel(size=parts.shape)).argmax(1)]
        given = _FloorAndRise.of(curves, rho)
        floor, rise = best = given.best_allowed()
        for _ in range(TURNS):
            squares = given.least + given.excess(floor, rise)
            variance = squares / rng.chisquare(n, len(curves))  # of the whitened series
            rise = given.draw_rise(rng, variance, around=best[1])
            floor = given.draw_floor(rng, variance, rise)
        gain = rise / np.array([each.deviation for each in curves])
        sigma = np.sqrt(variance / (1 - rho**2))
        return np.stack([floor, gain], 1), np.stack([sigma, rho], 1)


class _FloorAndRise(NamedTuple):
    """The sums of squares (k,) of k errors as quadratic forms of floor and rise.

    ff, fr, rr : coefficients
    floor, rise, least : where the form is least, and its value there
    """

    ff: Array
    fr: Array
    rr: Array
    floor: Array
    rise: Array
    least: Array

    @classmethod
    def of(cls, curves: Sequence[CurveProducts], rho: Array) -> Self:
        """Return the forms at correlations rho (k,)."""
        products = np.array([each.products for each in curves])
        g = np.einsum("kp,kpab->kab", rho[:, None] ** np.arange(3), products)
        ratio = np.array([each.mean / each.deviation for each in curves])
        ff, fr = g[:, 0, 0], g[:, 0, 1] + ratio * g[:, 0, 0]
        rr = g[:, 1, 1] + 2 * ratio * g[:, 0, 1] + ratio**2 * g[:, 0, 0]
        by_f, by_r = g[:, 0, 2], g[:, 1, 2] + ratio * g[:, 0, 2]
        det = ff * rr - fr**2
        floor, rise = (rr * by_f - fr * by_r) / det, (ff * by_r - fr * by_f) / det
        least = g[:, 2, 2] - floor * by_f - rise * by_r
        fitted = np.array([(each.level, each.rise) for each in curves]).T
        return cls(ff, fr, rr, floor + fitted[0] - ratio * fitted[1], rise + fitted[1], least)

    def excess(self, floor: Array, rise: Array) -> Array:
        """Return the sums of squares above the least."""
        x, y = floor - self.floor, rise - self.rise
        return self.ff * x**2 + 2 * self.fr * x * y + self.rr * y**2

    def best_allowed(self) -> tuple[Array, Array]:
        """Return the best floor and rise that are not negative."""
        zero = np.zeros_like(self.floor)
        on_floor = np.maximum(self.rise + self.fr / self.rr * self.floor, 0)
        on_rise = np.maximum(self.floor + self.fr / self.ff * self.rise, 0)
        is_on_floor = self.excess(zero, on_floor) < self.excess(on_rise, zero)
        is_allowed = (self.floor >= 0) & (self.rise >= 0)
        return (
            np.where(is_allowed, self.floor, np.where(is_on_floor, 0, on_rise)),
            np.where(is_allowed, self.rise, np.where(is_on_floor, on_floor, 0)),
        )

    def draw_rise(self, rng: np.random.Generator, variance: Array, around: Array) -> Array:
        """Return rises from their distribution for a variance, on a grid about a value."""
        deviation = np.sqrt(variance * self.ff / (self.ff * self.rr - self.fr**2))[:, None]
        grid = np.maximum(around[:, None] + deviation * GRID, 0)
        step = grid - self.rise[:, None]
        floor = self.floor[:, None] - (self.fr / self.ff)[:, None] * step
        is_allowed = log_ndtr(floor / np.sqrt(variance / self.ff)[:, None])
        log_density = is_allowed - (step / deviation) ** 2 / 2
        density = np.exp(log_density - log_density.max(1, keepdims=True))
        shares = np.cumsum((density[:, 1:] + density[:, :-1]) * np.diff(grid, axis=1), axis=1)
        shares = np.pad(shares / shares[:, -1:], ((0, 0), (1, 0)))
        return np.array(
            [np.interp(*each) for each in zip(rng.random(len(grid)), shares, grid, strict=True)]
        )

    def draw_floor(self, rng: np.random.Generator, variance: Array, rise: Array) -> Array:
        """Return floors from their normal distribution for a rise, cut off at 0."""
        mean = self.floor - self.fr / self.ff * (rise - self.rise)
        deviation = np.sqrt(variance / self.ff)
        tail = np.log(rng.random(len(mean))) + log_ndtr(mean / deviation)
        return np.maximum(mean - deviation * ndtri_exp(tail), 0)


def largest_rho(n: int) -> float:
    """Return the largest correlation of noise, for n samples.

    They are then worth 5 independent ones.  What varies more slowly, over more than a fifth of a
    curve, is taken to be the theory's misfit: as noise, it would excuse any misfit that is smooth.
    """
    return (n - LEAST_EFFECTIVE) / (n + LEAST_EFFECTIVE)


@cache
def rho_nodes(n: int, largest: float | None = None) -> tuple[Array, Array]:
    """Return correlations and the logarithms of their weights, for n samples.

    largest : correlation; default: `largest_rho`
    """
    largest = largest_rho(n) if largest is None else largest
    n_nodes = max(MIN_NODES, math.ceil(NODES_PER_WIDTH * math.sqrt(n)))
    x, weights = np.polynomial.legendre.leggauss(n_nodes)
    half = math.asin(largest) / 2
    phi = (x + 1) * half
    return np.sin(phi), np.log(weights * half * np.cos(phi) / largest)


@cache
def _constant(n: int) -> float:
    nu = n - 2
    return -nu / 2 * math.log(math.pi) + float(gammaln(nu / 2)) - math.log(2)


@cache
def _compiled(name: str) -> Callable[..., Any]:
    """Return a compiled function of this module."""
    y, numbers, products = np.zeros(3), (1.0, 1.0, 1.0, 3), np.zeros((3, 3, 3))
    arguments = {
        "products": (_fill_products, y, y, y, products),
        "noise": (_find_noise, products, *numbers, 1.0),
        "integral": (_integrate, products, *numbers, y, y, y),
    }
    function, *examples = arguments[name]
    return ensure_compiled(function, "the likelihood", *examples)


@jit
def _fill_products(
    y: Array, f: Array, u: Array, products: Array
) -> tuple[float, float, float, float]:
    """Fill the products, and return mean, deviation, level and rise, of `CurveProducts`."""
    share = 1 / u**2
    share /= share.sum()
    mean = (share * f).sum()
    deviation = math.sqrt((share * (f - mean) ** 2).sum())
    shape = (f - mean) / deviation
    level = (share * y).sum()
    rise = (share * shape * (y - level)).sum()
    columns = np.empty((3, len(y)))
    columns[0], columns[1], columns[2] = 1 / u, shape / u, (y - level - rise * shape) / u
    least = LEAST_NOISE**2 * (share * (y - level) ** 2).sum() * (1 / u**2).sum()
    for i in range(3):
        for j in range(i + 1):
            a, b = columns[i], columns[j]
            products[0, i, j] = (a * b).sum()
            products[1, i, j] = -(a[1:] * b[:-1]).sum() - (a[:-1] * b[1:]).sum()
            products[2, i, j] = (a[1:-1] * b[1:-1]).sum()
            products[:, j, i] = products[:, i, j]
    products[0, 2, 2] += least  # so that no residual is 0
    return mean, deviation, level, rise


@jit
def _solve(g: Array) -> tuple[float, float, float, float]:
    """Return the least squares for products (3, 3) at one rho, with floor and gain of any sign.

    The determinant of the products of level and rise; the best changes of level and rise; the sum
    of squares of the whitened series there.
    """
    det = g[0, 0] * g[1, 1] - g[0, 1] ** 2
    d_level = (g[1, 1] * g[0, 2] - g[0, 1] * g[1, 2]) / det
    d_rise = (g[0, 0] * g[1, 2] - g[0, 1] * g[0, 2]) / det
    return det, d_level, d_rise, g[2, 2] - d_level * g[0, 2] - d_rise * g[1, 2]


@jit
def _least_squares(products: Array, level: float, rise: float, ratio: float, rho: float) -> float:
    """Return the least sum of squares of the whitened series with floor, gain >= 0."""
    g = products[0] + rho * products[1] + rho**2 * products[2]
    _, d_level, d_rise, best = _solve(g)
    if rise + d_rise >= 0 and level + d_level >= ratio * (rise + d_rise):
        return best
    # else the best is on an edge, gain = 0 or floor = 0
    on_edges = np.inf
    for a_level, a_rise in ((1.0, 0.0), (ratio, 1.0)):
        power = a_level**2 * g[0, 0] + 2 * a_level * a_rise * g[0, 1] + a_rise**2 * g[1, 1]
        with_level = g[0, 2] + level * g[0, 0] + rise * g[0, 1]
        with_rise = g[1, 2] + level * g[0, 1] + rise * g[1, 1]
        size = max((a_level * with_level + a_rise * with_rise) / power, 0.0)
        x = size * a_level - level - d_level
        y = size * a_rise - rise - d_rise
        on_edges = min(on_edges, x**2 * g[0, 0] + 2 * x * y * g[0, 1] + y**2 * g[1, 1])
    return best + on_edges


@jit
def _find_noise(
    products: Array, level: float, rise: float, ratio: float, n: int, largest_phi: float
) -> tuple[float, float]:
    """Return the most likely rho = sin(phi), to 1e-4 in phi, and the least sum of squares there."""
    low, high = 0.0, largest_phi
    best_phi, least = 0.0, np.inf
    while high - low > 1e-4:
        step = (high - low) / 16
        for k in range(17):
            rho = math.sin(low + k * step)
            squares = _least_squares(products, level, rise, ratio, rho)
            deviance = n * math.log(squares) - math.log(1 - rho**2)
            if deviance < least:
                best_phi, least = low + k * step, deviance
        low, high = max(best_phi - step, 0.0), min(best_phi + step, largest_phi)
    rho = math.sin(best_phi)
    return rho, _least_squares(products, level, rise, ratio, rho)


@jit
def _integrate(
    products: Array,
    level: float,
    rise: float,
    ratio: float,
    n: int,
    rhos: Array,
    log_weights: Array,
    parts: Array,
) -> float:
    """Fill the logs of the parts of the integral at each rho, and return that of their sum.

    A constant is left out.
    """
    nu = n - 2
    wedges = np.empty((len(rhos), 4))
    for k in range(len(rhos)):
        g = products[0] + rhos[k] * products[1] + rhos[k] ** 2 * products[2]
        det, d_level, d_rise, squares = _solve(g)
        # coordinates in which level and rise have a standard Student distribution about 0
        scale = math.sqrt(nu / squares)
        xx, xy = scale * math.sqrt(g[0, 0]), scale * g[0, 1] / math.sqrt(g[0, 0])
        yy = scale * math.sqrt(det / g[0, 0])
        wedges[k, 0] = -xx * (level + d_level) - xy * (rise + d_rise)
        wedges[k, 1] = -yy * (rise + d_rise)
        wedges[k, 2], wedges[k, 3] = xx * ratio + xy, yy
        parts[k] = log_weights[k] + 0.5 * (
            math.log(1 - rhos[k] ** 2) - math.log(det) - nu * math.log(squares)
        )
    best = -np.inf
    for k in np.argsort(-parts):  # probabilities of wedges are at most 1
        if parts[k] > best - NEGLIGIBLE:
            a, b, c, d = wedges[k]
            parts[k] += _log_wedge(a, b, c, d, nu)
            best = max(best, parts[k])
        else:
            parts[k] = -np.inf
    return float(best + math.log(np.exp(parts - best).sum()))


@jit
def _log_wedge(apex_x: float, apex_y: float, edge_x: float, edge_y: float, nu: int) -> float:
    """Return the log probability of a wedge, of a standard bivariate Student distribution.

    One edge leaves the apex in the direction of x, the other in the direction (edge_x, edge_y > 0).

    Beyond a radius R, a ray from the centre has the share F(R) = (1 + R^2 / nu)^(-nu / 2) of its
    probability.  So the wedge has 1 if it contains the centre, or 0, minus the integral of
    F / (2 pi) over the angles under which its edges are seen, taken counterclockwise.
    """
    length = math.hypot(edge_x, edge_y)
    cos, sin = edge_x / length, edge_y / length
    heights = -apex_y, cos * apex_y - sin * apex_x  # of the centre over the edges, inside positive
    starts = apex_x, cos * apex_x + sin * apex_y  # of the edges, from the centre's foot on them
    contains = heights[0] > 0 and heights[1] > 0
    nearest = 0.0
    if not contains:
        nearest = math.inf
        for k in range(2):
            nearest = min(nearest, heights[k] ** 2 + max(starts[k], 0.0) ** 2)
    log_nearest = -nu / 2 * math.log1p(nearest / nu)
    total = 1.0 if contains else 0.0
    for k in range(2):
        height = max(abs(heights[k]), 1e-100)
        seen = _edge(height, abs(starts[k]), nu, log_nearest)
        if starts[k] < 0:
            seen = 2 * _edge(height, 0.0, nu, log_nearest) - seen
        total -= math.copysign(seen, heights[k]) / (2 * math.pi)
    return log_nearest + math.log(max(total, 1e-10))  # below is rounding


@jit
def _edge(height: float, start: float, nu: int, log_unit: float) -> float:
    """Return the integral of F / exp(log_unit) over the angles of an edge, see `_log_wedge`.

    With a position t = height sinh(x) along the edge, the angle grows by dx / cosh(x).
    """
    inner = 1 + (height**2 + start**2) / nu
    if -nu / 2 * math.log(inner) - log_unit < -NEGLIGIBLE:
        return 0.0
    outer = nu * (inner * math.exp(2 * 28.0 / nu) - 1) - height**2  # where F is 1e-12 of the start
    first = math.asinh(start / height)
    last = min(math.asinh(math.sqrt(outer) / height), first + 30)
    half, total = (last - first) / 2, 0.0
    for k in range(len(EDGE_NODES)):
        cosh = math.cosh(first + half * (1 + EDGE_NODES[k]))
        log_f = -nu / 2 * math.log1p((height * cosh) ** 2 / nu)
        total += EDGE_WEIGHTS[k] / cosh * math.exp(log_f - log_unit)
    return half * total
