"""The error of kernel regression on Gaussian random fields with another kernel, averaged over the fields in closed form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def mismatched_error(
    student: Float[Tensor, "n n"],
    student_cross: Float[Tensor, "n m"],
    teachers: Float[Tensor, "teachers n n"],
    teachers_cross: Float[Tensor, "teachers n m"],
    teachers_own: Float[Tensor, "teachers m"],
    *,
    ridge: float = 0.0,
    noise: float = 0.0,
) -> Float[Tensor, " teachers"]:
    """Mean squared error of kernel regression with a student's kernel K on fields drawn with a teacher's kernel T.

    The prediction at z is aᵀ y with a = (K + λ)⁻¹ K(X, z) and y = f(X) + σ ε, so that over f ~ N(0, T) and ε ~ N(0, 1)

        E (f(z) − aᵀ y)² = T(z, z) − 2 aᵀ T(X, z) + aᵀ (T + σ²) a,

    here averaged over the m points z. With T = K and λ = σ² it is the posterior variance, which no learner betters.

    Args:
        student: K of the training inputs.
        student_cross: K of training and test inputs.
        teachers: T of the training inputs, for each teacher.
        teachers_cross: T of training and test inputs.
        teachers_own: T(z, z) of the test inputs.
        ridge: λ, 0 or more.
        noise: σ, 0 or more; the error does not count the noise of tests.

    Raises:
        ValueError: if shapes do not fit, a number is out of range, or K + λ is not positive definite.

    Example:
        >>> import torch
        >>> one = torch.eye(2)
        >>> mismatched_error(one, one / 2, one[None], one[None] / 2, torch.ones(1, 2))
        tensor([0.7500])
    """
    count, tests = student_cross.shape
    wanted = {"student": (count, count), "teachers": (count, count), "teachers_cross": (count, tests)}
    for name, one in (("student", student), ("teachers", teachers), ("teachers_cross", teachers_cross)):
        if tuple(one.shape[-2:]) != wanted[name] or one.dim() != (2 if name == "student" else 3):
            raise ValueError(f"{name}: got shape {tuple(one.shape)}, want one that ends in {wanted[name]}")
    if tuple(teachers_own.shape) != (len(teachers), tests) or len(teachers_cross) != len(teachers):
        raise ValueError(f"teachers_own: got shape {tuple(teachers_own.shape)}, want ({len(teachers)}, {tests})")
    if not (0 <= ridge < math.inf and 0 <= noise < math.inf):
        raise ValueError(f"ridge, noise: got {ridge} and {noise}, want finite numbers of 0 or more")
    if ridge:
        student = student + ridge * torch.eye(count, dtype=student.dtype, device=student.device)
    factor, failed = torch.linalg.cholesky_ex(student)
    if failed:
        raise ValueError(
            f"student: got a matrix that is not positive definite with ridge {ridge}, want a stronger ridge"
        )
    weights = torch.cholesky_solve(student_cross, factor)
    errors = []
    for teacher, cross, own in zip(teachers, teachers_cross, teachers_own, strict=True):
        spread = torch.addmm(-2 * cross, teacher, weights)
        errors.append((own + (weights * spread).sum(0)).mean())
    noisy = torch.stack(errors)
    return noisy + noise**2 * weights.square().sum(0).mean() if noise else noisy
