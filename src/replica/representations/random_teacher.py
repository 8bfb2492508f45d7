"""Encoders that learn the outputs of a net that was never trained (Sarnthein, Bachmann, Anagnostidis, Hofmann 2023)."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.representations.distillation import distillation_loss, frozen_outputs, interpolated_start
from replica.representations.encoder_training import EncoderTraining
from replica.representations.prototype_head import PrototypeHead


class RandomTeacher(EncoderTraining):
    """Trains an encoder to give, behind a head, the outputs of another that was drawn and never trained.

    Args:
        alpha: where the student starts, see `interpolated_start`.
        prototypes: outputs of the `PrototypeHead`.
        widths: of its layers.
        student_temperature: τ_S.
        teacher_temperature: τ_T; both as in the authors' configuration for MNIST.
        batch: images a step.
        learning_rate: Adam's, at the start of a cosine schedule; the authors' is constant.
        weight_decay: decoupled, as in AdamW.

    Attributes:
        teacher: the encoder that the student learned from, and its head.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> import torch
        >>> from replica.representations import RandomTeacher
        >>> from replica.training import conv_net
        >>> images, generator = torch.rand(64, 1, 8, 8), torch.Generator().manual_seed(0)
        >>> method = RandomTeacher(widths=(16, 8), prototypes=32, batch=32)
        >>> method = method.pretrain(images, lambda: conv_net((1, 4), 8, size=(8, 8), generator=generator), generator, 20)
        >>> method.embed(images).shape, method.losses[-1] < method.losses[0]
        (torch.Size([64, 8]), True)
    """

    teacher: nn.Sequential

    def __init__(
        self,
        *,
        alpha: float = 1e-10,
        prototypes: int = 256,
        widths: Sequence[int] = (128, 128, 64),
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        batch: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-6,
    ) -> None:
        super().__init__(batch=batch, learning_rate=learning_rate, weight_decay=weight_decay)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha: got {alpha}, want 0 to 1")
        if not (student_temperature > 0 and teacher_temperature > 0):
            raise ValueError(f"temperatures: got {student_temperature} and {teacher_temperature}, want above 0")
        self.alpha, self.prototypes, self.widths = alpha, prototypes, tuple(widths)
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature

    def pretrain(
        self,
        images: Float[Tensor, "n channels height width"],
        encoder: Callable[[], nn.Module],
        generator: torch.Generator,
        epochs: int,
    ) -> Self:
        """See `EncoderTraining.pretrain`: the teacher is the first ``encoder()``, the net that it is mixed with the second."""
        if not len(images):
            raise ValueError("images: got none, want at least one")
        nets = [encoder(), encoder()]
        dim = frozen_outputs(nets[0], images[:1]).shape[1]
        heads = [self._drawn(dim, generator).to(images.device) for _ in nets]
        self.teacher, fresh = (nn.Sequential(net, head) for net, head in zip(nets, heads, strict=True))
        student, self._head = interpolated_start(self.teacher, fresh, self.alpha).children()
        self.teacher.requires_grad_(False).eval()
        return self._train((images, frozen_outputs(self.teacher, images)), lambda: student, generator, epochs)

    def _drawn(self, dim: int, generator: torch.Generator) -> nn.Module:
        return PrototypeHead(dim, self.prototypes, widths=self.widths, generator=generator)

    def head(self, images: Tensor, dim: int, generator: torch.Generator) -> nn.Module:
        """The student's head."""
        return self._head

    def loss(self, encoder: nn.Module, head: nn.Module, generator: torch.Generator, *batch: Any) -> Tensor:
        """See `distillation_loss`."""
        images, told = batch
        temperatures = {
            "student_temperature": self.student_temperature,
            "teacher_temperature": self.teacher_temperature,
        }
        return distillation_loss(head(encoder(images)), told, **temperatures)
