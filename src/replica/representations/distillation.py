"""Distillation of a frozen net into another, and starts between two nets (Sarnthein, Bachmann, Anagnostidis, Hofmann 2023)."""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import History, Minibatches, fit

_ROWS_AT_ONCE = 1024


@torch.no_grad()
def interpolated_start(teacher: nn.Module, fresh: nn.Module, alpha: float) -> nn.Module:
    """A student that starts between its teacher and a net drawn independently, with the variance of both.

    θ_S = ((1 − α)θ_T + αθ̃) / √((1 − α)² + α²)

    Parameters of zero mean keep their variance at every α; biases at 0 stay there.

    Args:
        teacher: θ_T; at α = 0 the student is a copy of it.
        fresh: θ̃, of the same architecture, drawn independently; at α = 1 the student is a copy of it.
        alpha: 0 to 1. The paper's "next to the teacher" is 10⁻¹⁰.

    Returns:
        A net of its own; what are no parameters are the teacher's.

    Raises:
        ValueError: if α is not in 0 to 1, or the nets differ in more than numbers.

    Example:
        >>> import torch
        >>> from replica.representations import interpolated_start
        >>> nets = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
        >>> for value, net in zip((3.0, 4.0), nets):
        ...     net.weight.data = torch.tensor([[value]])
        >>> round(interpolated_start(*nets, 0.5).weight.item(), 4)  # 7 / √2
        4.9497
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha: got {alpha}, want 0 to 1")
    drawn = dict(fresh.named_parameters())
    student = copy.deepcopy(teacher).requires_grad_(True)
    shapes = [{name: p.shape for name, p in net.named_parameters()} for net in (teacher, fresh)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"teacher, fresh: got parameters {shapes[0]} and {shapes[1]}, want the same")
    spread = math.hypot(1 - alpha, alpha)
    for name, parameter in student.named_parameters():
        parameter.mul_((1 - alpha) / spread).add_(drawn[name].to(parameter), alpha=alpha / spread)
    return student


def distillation_loss(
    student: Float[Tensor, "*batch outputs"],
    teacher: Float[Tensor, "*batch outputs"],
    *,
    student_temperature: float = 1.0,
    teacher_temperature: float = 1.0,
) -> Float[Tensor, ""]:
    """Divergence of the student's shares from the teacher's, softmax(g/τ) each: their cross-entropy less the teacher's entropy.

    The gradient is the cross-entropy's, and 0 is reached where shares agree. Where the teacher's temperature is below the
    student's, a student whose outputs are the teacher's must still grow sharper.

    Args:
        student: outputs g_S.
        teacher: outputs g_T.
        student_temperature: τ_S.
        teacher_temperature: τ_T.

    Raises:
        ValueError: if a temperature is not above 0, or shapes differ.

    Example:
        >>> import torch
        >>> from replica.representations import distillation_loss
        >>> outputs = torch.tensor([[0.0, 1.0]])
        >>> float(distillation_loss(outputs, outputs)), round(float(distillation_loss(2 * outputs, outputs)), 4)
        (0.0, 0.0826)
    """
    if not (student_temperature > 0 and teacher_temperature > 0):
        raise ValueError(f"temperatures: got {student_temperature} and {teacher_temperature}, want above 0")
    if student.shape != teacher.shape:
        raise ValueError(
            f"student, teacher: got shapes {tuple(student.shape)} and {tuple(teacher.shape)}, want the same"
        )
    told, wanted = (student / student_temperature).log_softmax(-1), (teacher / teacher_temperature).log_softmax(-1)
    return (wanted.exp() * (wanted - told)).sum(-1).mean()


def distil(
    student: nn.Module,
    teacher: nn.Module,
    inputs: Float[Tensor, "n ..."],
    *,
    steps: int,
    generator: torch.Generator | None = None,
    batch: int = 256,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    student_temperature: float = 1.0,
    teacher_temperature: float = 1.0,
) -> History:
    """Trains a student to give the outputs of a frozen teacher: no labels, no augmentation, AdamW.

    The teacher's outputs are worked out once, in evaluation mode; they take memory for n × outputs numbers.

    Args:
        student: trained in place, such as an encoder with a head; the encoder below the head is what one probes.
        teacher: left as it is.
        inputs: to distil on.
        steps: of the optimiser.
        generator: source of the order of inputs. Without one it is as given.
        batch: inputs a step.
        learning_rate: AdamW's.
        weight_decay: AdamW's.
        student_temperature: τ_S, see `distillation_loss`.
        teacher_temperature: τ_T.

    Returns:
        Losses before each step.

    Raises:
        ValueError: if a number is out of range, there are no inputs, or outputs differ in shape.

    Source: Equation 1; temperatures 0.04 and 0.1 (`teacher_temperature`, `student_temperature`), batch 256 and rate 10⁻³ in the
    authors' configuration for MNIST.

    Example:
        >>> import torch
        >>> from replica.representations import distil
        >>> from replica.training import mlp
        >>> teacher, student = (mlp((4, 8, 3), generator=torch.Generator().manual_seed(seed)) for seed in range(2))
        >>> history = distil(student, teacher, torch.eye(4), steps=400, learning_rate=0.01)
        >>> bool(history.losses[-1] < 1e-4 < history.losses[0])
        True
    """
    if batch < 1 or not learning_rate > 0 or weight_decay < 0:
        given = f"{batch}, {learning_rate}, {weight_decay}"
        raise ValueError(f"batch, learning_rate, weight_decay: got {given}, want 1 or more, above 0, 0 or more")
    if not len(inputs):
        raise ValueError("inputs: got none, want at least one")
    fused = inputs.device.type in ("cpu", "cuda")  # a fifth of the time of narrow nets' steps
    optimiser = torch.optim.AdamW(student.parameters(), learning_rate, weight_decay=weight_decay, fused=fused)

    def loss(model: nn.Module, shown: Tensor, told: Tensor) -> Tensor:
        return distillation_loss(
            model(shown), told, student_temperature=student_temperature, teacher_temperature=teacher_temperature
        )

    batches = Minibatches(inputs, frozen_outputs(teacher, inputs), size=batch, generator=generator)
    return fit(student, loss, batches, optimiser=optimiser, steps=steps)


@torch.no_grad()
def frozen_outputs(model: nn.Module, inputs: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """Outputs of a net in evaluation mode, without gradients; its own mode is what it was afterwards.

    Example:
        >>> import torch
        >>> from replica.representations import frozen_outputs
        >>> frozen_outputs(torch.nn.Dropout(), torch.ones(2, 1)).tolist()
        [[1.0], [1.0]]
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        return torch.cat([model(part) for part in inputs.split(_ROWS_AT_ONCE)])
    finally:
        for module, was in modes.items():
            module.training = was
