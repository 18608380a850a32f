"""The published two-strategy model solved: theorems, Hessians, late times, plateau.

Each part is a title, prose with the proof, and a function from the symbolic model to statements.
Numbers quoted in the prose are those of `python -m paper_figures theory N` and of the slow tests.
"""

from collections.abc import Callable, Iterator

import sympy as sp

from coopetition.model.presets import CIWL, COMPETITION, ICL
from coopetition.model.symbolic import Expression, Statement, Symbolic

FATES = r"""
Here $a \otimes b \otimes c$ is ICL (index 1: $L_1$ is $L_{icl}$, and so on) and
$d \otimes b \otimes c$ is CIWL (index 2). A mechanism that has learnt nothing has the loss
$k = S^2 / 2N$; it counts as learnt below half of that.

**Theorem 1 (no coexistence).** If $\alpha > 0$, every critical point has $K = 0$: $a = 0$ or
$d = 0$. *Proof.* `no_coexistence` with all slopes zero. $\square$

**Lemma.** A critical point with $u_b u_c = 0$ is no minimum. *Proof.* Say $d = 0$ (else $a = 0$,
and the names change places). Move $a$, $b$, $c$ alone: $L_2$ and $K$ stay as they are, and $L_1$
has a positive prefactor. Slopes being zero, $R_1 = S_1 P_1 = 0$ at the point, so one of $a, b, c$
is zero; call its overlap $x$. Let the other two overlaps be $\epsilon$ away from zero, if they are
not already, and $x = \pm\eta$ with $\eta \ll \epsilon^2$, signs such that $P_1 > 0$. Then
$2 N_1 (L_1 - k_1) = R_1 - 2 S_1 P_1$ is negative, as $R_1 = O(\eta^2)$ while $P_1$ is at least of
order $\epsilon^2 \eta$. $\square$

**Theorem 2 (ICL is transient).** If $\alpha, \mu_1 > 0 = \mu_2$, the only minima are those with
CIWL learnt and $a = 0$. *Proof.* With $d = 0$ the slope `ciwl_always_grows` is zero only if
$u_b u_c = 0$, as $L_1 + \mu_1 > 0$; by the lemma that is no minimum. With $a = 0$ the slope
`icl_grows_while_ciwl_errs` leaves $u_b u_c = 0$ again, or $L_2 = 0$. There the loss is 0, its
least. $\square$

**Theorem 3 (ICL persists).** If $\alpha > 0 = \mu_1$, the points with ICL learnt and $d = 0$ are
minima. *Proof.* The loss is 0 on them, its least. `minimum_icl_*` are the Hessian's positive
directions, and the two others lie along the set, so that it attracts. $\square$ With $\mu_2 = 0$ as
well, both kinds of minima attract, and the draw decides; with $\mu_2 > 0$ they are the only ones,
by the proof of theorem 2 with the indices exchanged.

**Theorem 4 (mutual toleration).** If $\alpha, \mu_1, \mu_2 > 0$, there is no minimum. *Proof.* By
theorem 1, $a = 0$ or $d = 0$, by the two slopes $u_b u_c = 0$, and then the lemma. $\square$ The
flow cannot rest, and goes to infinity with both mechanisms learnt (section 8).

A saddle with a negative direction is left again from almost every draw, and the few points without
one (the origin, say) are no minima either. That the flow then ends on a minimum, or at
infinity, is not proved here but tested: of 1,000 random problems followed to $t = 10^8$, 999 end as
the table says, and one has not yet learnt anything.

| | $\mu_2 = 0$ | $\mu_2 > 0$ |
|---|---|---|
| $\mu_1 = 0$ | the draw decides | ICL persists |
| $\mu_1 > 0$ | ICL is transient, or never comes | both, in mutual toleration |

Without competition ($\alpha = 0$) and with $\mu_1, \mu_2 > 0$ both are learnt. If $\mu_2 = 0$ the
flow ends as soon as $L_2 = 0$, wherever ICL is then; it may have been learnt and lost on the way.
So $\alpha$ makes them rivals, $\mu_1$ makes ICL lose, and $b$ and $c$ make CIWL its helper.
"""

HESSIANS = r"""
At a minimum with CIWL learnt the Hessian is diagonal but for the overlaps of $d, b, c$, where it
has one positive direction, and two flat ones along the set. Each line gives an eigenvalue and how
often it occurs. At ICL's minima ($\mu_1 = 0$) the indices change places.

The unlearnt sets are saddles at all their points in general position (section 5). The one that the
published draws pass has $a = 0$, $c = 0$, and $b$ at right angles to its target, while $d$ is what
it was drawn as: $u_b$ and $u_c$ are coupled, and the product of their two eigenvalues is negative.
"""

TOLERATION = r"""
With $\alpha, \mu_1, \mu_2 > 0$ both mechanisms are learnt, and the loss that remains is
$\mu_1 \mu_2 + \alpha K$. Put $q = u_b^2 = u_c^2$. Then $u_a = S_1 / q$, $u_d = S_2 / q$ and the
orthogonal parts are gone, so that $K$ falls as $q$ grows (`toleration_cost`). In the budget law
$R_a + R_d - R_b$ becomes $-q$, up to terms that vanish, and $\dot q = 8 \alpha K$ is solved by
`toleration_growth`:

$$
|b|, |c| \sim t^{1/10}, \qquad |a|, |d| \sim t^{-1/5}, \qquad K \sim t^{-4/5} .
$$

The prefactors are part of the prediction (`critical_points.toleration`), and agree with the flow to
1 in 100 at $t = 10^7$, and better later.
"""

PLATEAU = r"""
The published draws have large orthogonal parts, above all $w_d$ (160 entries). The plateau before
ICL emerges is not the escape from a small initial value that one would expect:

1. *Collapse.* CIWL's error shrinks $b$ and $c$. As $R_b - R_c$ is conserved, only the smaller
   can vanish: say $c$. Meanwhile $a$ dies of its competition with $d$.
2. *Plateau.* $c$ follows the others (`followed`): it is the best answer to $d$ and $b$ as they
   are. Through it $d$ and $b$ slowly turn towards their targets, at constant lengths (`turning_d`,
   `turning_b`). While the cosines are small, $u_b^2 - u_d^2$ is constant, and with
   $\kappa = 4 k_2 (k_1 + \mu_1) / (R_b R_d)$ the integral `plateau_integral` gives the time in
   closed form:

$$
T = \frac{R_b R_d}{4 k_2 (k_1 + \mu_1)} \, \frac{\ln (u_b^2 / u_d^2)}{u_b^2 - u_d^2} .
$$

3. ICL takes off when $c$ has grown: its $u_a$ is driven by $u_b u_c$. *CIWL turns the shared
   factor to its target, and ICL finds it there.*

The closed form is right to 21 % (median; rank correlation 0.95). Five of the eight numbers
(`timescales.slow_times`: $w_a = w_c = 0$, and the balance ties $|b|$ to $|c|$) carry plateau and
takeover to less than 0.1 % (median) and 4 % (nine in ten).

Without orthogonal parts and near the origin the story is another one. There
$v = (g_1 u_a + g_2 u_d) / g$ with $g_1 = (k_2 + \mu_2) S_1 / N_1$, $g_2 = (k_1 + \mu_1) S_2 / N_2$
and $g = \sqrt{g_1^2 + g_2^2}$ obeys `elliptic_v`, `elliptic_b` and the like for $c$, and the
plateau lasts $R_F(v^2, u_b^2, u_c^2) / g$, Carlson's elliptic integral.
"""

COOPERATION = r"""
Let $T$ be the time at which ICL emerges (its loss falls through half), and "alone" mean $d = 0$,
clamped. For one draw, and up to a horizon,

$$
\text{cooperation} = \ln \frac{T_{\text{alone}}}{T_{\text{both}}}, \qquad
\text{competition} = \ln \frac{\text{time learnt alone}}{\text{time learnt with CIWL}} .
$$

With the published draws cooperation is *negative* in 11 of 12: CIWL delays ICL. The reason is the
collapse. The random $d$ has $w_d \approx 12$ and $u_d \approx 1$; its orthogonal part is an error
that can be lowered only by shrinking $b$ and $c$, which ICL needs. Take the orthogonal part away,
or draw $d$ ten times smaller, and the sign turns. Competition for $a$ is not the reason: without it
the sign is mostly the same. (The shares are in the tour and in `python -m paper_figures theory 6`.)

Near the origin the plateau's length is known with CIWL, $R_F(v^2, u_b^2, u_c^2) / g$, and without,
$R_F(u_a^2, u_b^2, u_c^2) / g_1$. As $R_F$ falls in each argument and $g > g_1$, CIWL shortens the
*plateau* if $|v| \ge |u_a|$: if the signs fit and $u_d / u_a \ge (g - g_1) / g_2$. It is
cooperation only where ICL is among what emerges at its end. Where CIWL's pull is much the stronger
($g_2 \gg g_1$) and $\alpha$ large, the plateau ends in CIWL, and ICL never comes.

What the toy explains: a circuit that CIWL has built lets ICL be learnt at once (with $b$, $c$
clamped at a late CIWL-only state), ICL that starts after CIWL has won does not come back, and with
competition and $\mu_1 > 0$ it fades. What it does not explain: that CIWL's mere presence from the
start should hasten ICL. That takes an initial $d$ that is small or aligned, as in a network whose
logits start near zero, and not the published standard normal draws.
"""


def _no_proof_needed(_: Symbolic) -> Iterator[Statement]:
    return iter(())


def _fates(s: Symbolic) -> Iterator[Statement]:
    weights = {"a": 1, "d": 1, "b": -1}
    loss = sp.Symbol("L")
    k = sp.Symbol(f"K_{COMPETITION}")
    alpha = s.strength[COMPETITION]
    shown, true = sp.Integer(0), sp.Integer(0)
    for f, c in weights.items():
        for x in (s.u[f], s.w[f]):
            shown += c * x * sp.Derivative(loss, x)
            true += c * x * s.gradient[x]
    yield Statement(
        "no_coexistence",
        "with all slopes zero the left side is zero, and so is K",
        shown,
        4 * alpha * k,
        true - 4 * alpha * s.losses[COMPETITION],
    )
    for name, factor, other in (
        ("ciwl_always_grows", "d", "a"),
        ("icl_grows_while_ciwl_errs", "a", "d"),
    ):
        own, rival = (CIWL, ICL) if factor == "d" else (ICL, CIWL)
        absent = {s.u[factor]: 0, s.w[factor]: 0}
        error = s.offset[rival] + sp.Symbol(f"L_{rival}")
        target, size = s.reduced.targets[own], s.reduced.sizes[own]
        right = -error * target * s.u["b"] * s.u["c"] / size
        slope = s.gradient[s.u[factor]].subs(absent)
        value = right.subs(sp.Symbol(f"L_{rival}"), s.losses[rival].subs(absent))
        yield Statement(
            name,
            f"the slope at {factor} = 0, whatever {other} is",
            sp.Derivative(loss, s.u[factor]),
            right,
            slope - value,
        )


def _hessians(s: Symbolic) -> Iterator[Statement]:
    for own, rival, factor, absent in ((CIWL, ICL, "d", "a"), (ICL, CIWL, "a", "d")):
        yield from _minimum(s, own, rival, factor, absent)
    ud, rb, rd = s.u["d"], s.w["b"], s.u["d"] ** 2 + s.w["d"] ** 2
    zero = dict.fromkeys([s.u["a"], s.w["a"], s.u["b"], s.u["c"], s.w["c"]], 0)
    pair = [s.u["b"], s.u["c"]]
    block = sp.hessian(s.losses["total"], pair).subs(zero)
    error = s.losses[ICL].subs(zero) + s.offset[ICL]
    target, size = s.reduced.targets[CIWL], s.reduced.sizes[CIWL]
    right = -((error * target * ud / size) ** 2)
    yield Statement(
        "saddle",
        "product of the eigenvalues in the plane of u_b and u_c: one of them leads down",
        sp.Symbol("lambda_+") * sp.Symbol("lambda_-"),
        right,
        block.det() - right,
    )
    sum_ = error * rb**2 * rd / size
    yield Statement(
        "saddle_sum",
        "and their sum",
        sp.Symbol("lambda_+") + sp.Symbol("lambda_-"),
        sum_,
        block.trace() - sum_,
    )


def _minimum(s: Symbolic, own: str, rival: str, factor: str, absent: str) -> Iterator[Statement]:
    """Eigenvalues where `own` is learnt by `factor`, b and c, and `absent` is 0."""
    b, c = s.u["b"], s.u["c"]
    x = s.reduced.targets[own] / (b * c)  # of `factor`, at the minimum
    at = {s.u[absent]: 0, s.offset[own]: 0, s.u[factor]: x} | dict.fromkeys(s.w.values(), 0)
    hessian = sp.hessian(s.losses["total"], s.state).subs(at)
    error = s.losses[rival].subs(at) + s.offset[rival]
    size = s.reduced.sizes[own]
    alpha, cost_size = s.strength[COMPETITION], s.reduced.sizes[COMPETITION]
    stiff = {s.u[factor]: b * c, b: x * c, c: x * b}
    n = s.length
    eigen = [
        ("competition", {s.u[absent]: 1}, alpha * x**2 / cost_size, n[absent]),
        ("stiff", stiff, error * sum(v**2 for v in stiff.values()) / size, 1),
        (f"w_{factor}", {s.w[factor]: 1}, error * (b * c) ** 2 / size, n[factor] - 1),
        ("w_b", {s.w["b"]: 1}, error * (x * c) ** 2 / size, n["b"] - 1),
        ("w_c", {s.w["c"]: 1}, error * (x * b) ** 2 / size, n["c"] - 1),
    ]
    for name, entries, value, count in eigen:
        vector = sp.Matrix([entries.get(symbol, 0) for symbol in s.state])
        misses = hessian * vector - value * vector
        yield Statement(
            f"minimum_{own}_{name}",
            f"an eigenvalue that occurs {count} times" if count != 1 else "an eigenvalue",
            sp.Symbol("lambda"),
            value,
            sum((miss**2 for miss in misses), sp.Integer(0)),
        )


def _toleration(s: Symbolic) -> Iterator[Statement]:
    q, t = sp.Symbol("q", positive=True), sp.Symbol("t", positive=True)
    s1, s2 = s.reduced.targets[ICL], s.reduced.targets[CIWL]
    size, alpha = s.reduced.sizes[COMPETITION], s.strength[COMPETITION]
    late = {s.u["a"]: s1 / q, s.u["d"]: s2 / q, s.w["a"]: 0, s.w["d"]: 0}
    cost = s1**2 * s2**2 / (2 * size * q**4)
    k = sp.Symbol(f"K_{COMPETITION}")
    yield Statement("toleration_cost", "late", k, cost, s.losses[COMPETITION].subs(late) - cost)
    fifth = 20 * alpha * s1**2 * s2**2 * t / size
    # d(q^5)/dt = 5 q^4 dq/dt
    rate = 5 * q**4 * 8 * alpha * cost
    yield Statement("toleration_growth", "late", q**5, fifth, sp.diff(fifth, t) - rate)


def _plateau(s: Symbolic) -> Iterator[Statement]:
    b, c, d = (s.u[f] for f in "bcd")
    rb, rd = (sp.Symbol(f"R_{f}", positive=True) for f in "bd")
    squares = {rb: s.square("b"), rd: s.square("d")}
    target, size = s.reduced.targets[CIWL], s.reduced.sizes[CIWL]
    at = dict.fromkeys([s.u["a"], s.w["a"], s.w["c"]], 0)
    followed = target * b * d / (rb * rd)
    slope = s.gradient[c].subs(at).subs(c, followed.subs(squares))
    yield Statement("followed", "where c has no slope (a = 0)", c, followed, slope)
    k1, k2 = sp.symbols("k_1 k_2", positive=True)
    unlearnt = {k1: s.reduced.targets[ICL] ** 2 / (2 * s.reduced.sizes[ICL])}
    unlearnt[k2] = target**2 / (2 * size)
    pull = 4 * k2 * (k1 + s.offset[ICL]) * b**2 * d**2 / (rb * rd)
    for name, x, square in (("d", d, rd), ("b", b, rb)):
        right = pull * (1 - x**2 / square)
        true = (2 * x * s.velocity[x]).subs(at).subs(c, followed)
        residual = (right.subs(unlearnt) * s.rate[name] - true).subs(squares)
        left = sp.Derivative(x**2, sp.Symbol("t"))
        yield Statement(f"turning_{name}", "on the plateau, with rate 1", left, right, residual)
    u, v, kappa = sp.symbols("U V kappa", positive=True)
    closed = sp.log(v / u) / (kappa * (v - u))
    # the integral's derivative by its lower limit, at constant h = V - U
    h = sp.Symbol("h", positive=True)
    integrand = 1 / (kappa * u * (u + h))
    of_u = closed.subs(v, u + h)
    residual = sp.diff(of_u, u) + integrand + sp.limit(of_u, u, sp.oo)
    x = sp.Symbol("x", positive=True)
    shown = sp.Integral(1 / (kappa * x * (x + v - u)), (x, u, sp.oo))
    says = "with U and V for the squares of the two overlaps"
    yield Statement("plateau_integral", says, shown, closed, residual)
    yield from _elliptic(s)


def _elliptic(s: Symbolic) -> Iterator[Statement]:
    g1, g2 = sp.symbols("g_1 g_2", positive=True)
    a, b, c, d = (s.u[f] for f in "abcd")
    sizes, targets = s.reduced.sizes, s.reduced.targets
    k = {m: targets[m] ** 2 / (2 * sizes[m]) for m in (ICL, CIWL)}
    pulls = {
        g1: (k[CIWL] + s.offset[CIWL]) * targets[ICL] / sizes[ICL],
        g2: (k[ICL] + s.offset[ICL]) * targets[CIWL] / sizes[CIWL],
    }
    g, v = sp.sqrt(g1**2 + g2**2), sp.Symbol("v")
    spelt_v = (g1 * a + g2 * d) / g
    unit_rates = {rate: 1 for rate in s.rate.values() if rate != 0}

    def leading(speed: Expression) -> Expression:
        """The terms of second order in the overlaps, with neither cost nor orthogonal parts."""
        zero = dict.fromkeys([*s.w.values(), *s.strength.values()], 0)
        scale = sp.Symbol("epsilon", positive=True)
        small = speed.subs(unit_rates).subs(zero).subs({x: scale * x for x in (a, b, c, d)})
        return sp.diff(small, scale, 2).subs(scale, 0) / 2

    moved = {"v": (g1 * s.velocity[a] + g2 * s.velocity[d]) / g, "b": s.velocity[b]}
    shown = {"v": g * b * c, "b": g * v * c}
    for name, left in (("v", v), ("b", b)):
        right = shown[name].subs(v, spelt_v)
        residual = (leading(moved[name]) - right).subs(pulls)
        yield Statement(
            f"elliptic_{name}",
            "near the origin, to leading order",
            sp.Derivative(left, sp.Symbol("t")),
            shown[name],
            sp.simplify(residual),
        )


TWO_STRATEGIES: list[tuple[str, str, Callable[[Symbolic], Iterator[Statement]]]] = [
    ("Four theorems on fates", FATES, _fates),
    ("Hessians", HESSIANS, _hessians),
    ("Mutual toleration", TOLERATION, _toleration),
    ("The plateau", PLATEAU, _plateau),
    ("Does CIWL help ICL?", COOPERATION, _no_proof_needed),
]
