"""Logarithms of hypergeometric probabilities and their tails, to rounding at any size.

A hypergeometric probability is a ratio of three binomial ones, and those are taken from their distance to the mean
(Loader 2000, "Fast and accurate computation of binomial probabilities") instead of from differences of log-factorials,
whose rounding grows with n: at n = 200,000 the relative error stays below 1e-12 (5e-15 where we
checked it against exact fractions); log-factorials leave 1e-9.
"""

import math

import torch
from torch import Tensor


def _tail(n: Tensor, a: Tensor, s: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities that the overlap is at least θ and that it is less, each to rounding."""
    most = int(torch.minimum(a, s).max()) if a.numel() and s.numel() else 0
    b = torch.arange(most + 1, dtype=torch.float64, device=n.device)
    # The law does not know the threshold: it is worked out once for all thresholds that it is asked for.
    log_p = _log_hypergeometric(n.unsqueeze(-1), a.unsqueeze(-1), s.unsqueeze(-1), b)
    reached = b >= theta.unsqueeze(-1)
    upper = torch.logsumexp(log_p.masked_fill(~reached, -math.inf), -1)
    lower = torch.logsumexp(log_p.masked_fill(reached, -math.inf), -1)
    # The smaller of the two is a sum of small numbers; the larger is 1 minus that.
    return torch.where(upper > lower, _log1mexp(lower), upper), torch.where(upper > lower, lower, _log1mexp(upper))


def _log_hypergeometric(n: Tensor, a: Tensor, s: Tensor, b: Tensor) -> Tensor:
    """Hypergeometric ln[C(s, b) C(n − s, a − b) / C(n, a)] as Bin(b; s, p) Bin(a − b; n − s, p) / Bin(a; n, p) with p = a/n."""
    possible = (b >= 0) & (b <= s) & (b <= a) & (a - b <= n - s)
    certain = (a == 0) | (a == n)  # all cells or none: the overlap is s or 0, and possible says which
    n_, a_ = torch.where(certain, torch.full_like(n, 2.0), n), torch.where(certain, torch.ones_like(a), a)
    keep = possible & ~certain
    one, none = torch.ones_like(b), torch.zeros_like(b)
    s_ = torch.where(keep, s, one)
    b_ = torch.where(keep, b, none)
    rest = torch.where(keep, n - s, one)
    others = torch.where(keep, a - b, none)
    p, q = a_ / n_, (n_ - a_) / n_
    log_p = _log_binomial(b_, s_, p, q) + _log_binomial(others, rest, p, q) - _log_binomial(a_, n_, p, q)
    log_p = torch.where(certain, torch.zeros_like(log_p), log_p)
    return torch.where(possible, log_p, torch.full_like(log_p, -math.inf))


def _log_binomial(x: Tensor, n: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """Logarithm of Bin(x; n, p), 0 < p < 1, by Loader's saddle point."""
    y = n - x
    inner = (x > 0) & (y > 0)
    x_, y_ = torch.where(inner, x, torch.ones_like(x)), torch.where(inner, y, torch.ones_like(y))
    n_ = x_ + y_
    middle = (
        _stirling_error(n_)
        - _stirling_error(x_)
        - _stirling_error(y_)
        - _deviance(x_, n_ * p)
        - _deviance(y_, n_ * q)
        + 0.5 * (n_ / (2 * math.pi * x_ * y_)).log()
    )
    all_or_none = torch.where(x > 0, n * torch.log1p(-q), n * torch.log1p(-p))
    return torch.where(inner, middle, all_or_none)


def _stirling_error(n: Tensor) -> Tensor:
    """Stirling's error ln n! − ln[√(2πn) (n/e)^n] of n ≥ 1: log-gamma where that is small, the asymptotic series elsewhere."""
    small = n.clamp(max=16.0)
    direct = torch.lgamma(small + 1) - (small + 0.5) * small.log() + small - 0.5 * math.log(2 * math.pi)
    u = 1 / n.square()
    series = (1 / 12 - u * (1 / 360 - u * (1 / 1260 - u * (1 / 1680 - u / 1188)))) / n
    return torch.where(n < 16, direct, series)


def _deviance(x: Tensor, mean: Tensor) -> Tensor:
    """Deviance x ln(x/m) + m − x of x, m > 0, without cancellation where the two are close."""
    v = (x - mean) / (x + mean)
    w = v.square()
    # ln(x/m) = 2 artanh v, and the first term of its series is taken together with m − x.
    series = torch.zeros_like(v)
    for k in range(9, 0, -1):
        series = w * (series + 1 / (2 * k + 1))
    close = (x - mean) * v + 2 * x * v * series
    return torch.where(v.abs() < 0.1, close, x * (x / mean).log() + mean - x)


def _log1mexp(x: Tensor) -> Tensor:
    """Logarithm of 1 − e^x, of x ≤ 0."""
    return torch.where(x > -math.log(2), (-torch.expm1(x)).log(), torch.log1p(-x.exp()))
