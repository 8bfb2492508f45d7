"""Self-distillation without labels (DINO): a student tells from one view what a slow copy of itself tells from another."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import mlp


class SelfDistillation(nn.Module):
    """A student encoder with a head, and a teacher that is the moving average of both.

    The loss is the cross-entropy of the student's shares over prototypes with the teacher's, which are centred and sharpened
    so that neither one prototype nor all alike can win. Call `update` after each step of the optimiser.

    Args:
        encoder: from images to features, ``(batch, dim)``; any module. It is the student's from then on, not copied.
        dim: of the features.
        prototypes: classes that are made up.
        hidden: units of the head's hidden layer.
        bottleneck: dimension, on the unit sphere, in which prototypes lie.
        student_temperature: of the student's softmax.
        teacher_temperature: of the teacher's; below the student's.
        momentum: share of the teacher that is kept at an update.
        centre_momentum: likewise of the mean of the teacher's scores.
        generator: source of the head's weights.

    Raises:
        ValueError: if a number is out of range.

    Source: Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers", Section 3; Orhan and Lake 2024.

    Example:
        >>> model = SelfDistillation(nn.Flatten(), 64, prototypes=16, generator=torch.Generator().manual_seed(0))
        >>> one, other = torch.zeros(2, 5, 1, 8, 8)
        >>> loss = model.loss(one, other)
        >>> loss.backward()
        >>> model.update()
        >>> model.embed(one).shape
        torch.Size([5, 64])
    """

    centre: Float[Tensor, " prototypes"]

    def __init__(
        self,
        encoder: nn.Module,
        dim: int,
        *,
        prototypes: int = 256,
        hidden: int = 128,
        bottleneck: int = 64,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        momentum: float = 0.99,
        centre_momentum: float = 0.9,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 < teacher_temperature <= student_temperature:
            given = f"{teacher_temperature} and {student_temperature}"
            raise ValueError(
                f"teacher_temperature, student_temperature: got {given}, want above 0, and the first no larger"
            )
        if not (0 <= momentum <= 1 and 0 <= centre_momentum <= 1):
            raise ValueError(f"momentum, centre_momentum: got {momentum} and {centre_momentum}, want 0 to 1")
        if prototypes < 2:
            raise ValueError(f"prototypes: got {prototypes}, want 2 or more")
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        self.momentum, self.centre_momentum = momentum, centre_momentum
        head = mlp((dim, hidden, bottleneck), activation=nn.GELU, end=_OnSphere, generator=generator)
        self.student = nn.Sequential(encoder, head, _Prototypes(bottleneck, prototypes, generator))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(prototypes, device=next(head.parameters()).device))
        self._seen: Tensor | None = None

    def forward(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch prototypes"]:
        """The student's scores."""
        return self.student(images)

    def loss(self, first: Float[Tensor, "batch ..."], second: Float[Tensor, "batch ..."]) -> Float[Tensor, ""]:
        """Mean cross-entropy of the student's shares with the teacher's on the other view, both ways."""
        views = torch.cat([first, second])
        with torch.no_grad():
            scores = self.teacher(views)
            self._seen = scores.mean(0)
            targets = ((scores - self.centre) / self.teacher_temperature).softmax(1).roll(len(first), 0)
        told = (self.student(views) / self.student_temperature).log_softmax(1)
        return -(targets * told).sum(1).mean()

    @torch.no_grad()
    def update(self) -> None:
        """Moves the teacher towards the student, and the centre towards the mean of the teacher's last scores."""
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)
        for kept, new in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            kept.copy_(new)
        if self._seen is not None:
            self.centre.lerp_(self._seen.to(self.centre), 1 - self.centre_momentum)
            self._seen = None

    @torch.no_grad()
    def embed(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch dim"]:
        """Features of the teacher's encoder, below the head."""
        return self.teacher[0](images)


class _OnSphere(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.normalize(features, dim=-1)


class _Prototypes(nn.Module):
    """Cosines with prototypes."""

    def __init__(self, dim: int, count: int, generator: torch.Generator | None) -> None:
        super().__init__()
        device = None if generator is None else generator.device
        self.weight = nn.Parameter(torch.randn(count, dim, generator=generator, device=device))

    def forward(self, features: Tensor) -> Tensor:
        return features @ nn.functional.normalize(self.weight, dim=1).T
