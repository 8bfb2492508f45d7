"""A memory-augmented network whose read, output and write controllers share one external memory.

The neural semantic encoder of Munkhdalai and Yu 2017 (arXiv 1607.04315), on which Fernando et al. 2020, "Fast & Slow
Learning: Incorporating Synthetic Gradients in Neural Memory Controllers", arXiv 2011.05438, build, with rows that have
a key and a value and with writing to the least used slot (Santoro et al. 2016, arXiv 1605.06065). Letters of the
encoder: input x_t, query o_t, attention z_t, what is read m_t, composition c_t, what is written h_t, memory M_t.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from replica.training.mixed_precision import in_own_precision

Message = Callable[[str, Tensor], Tensor]


class ControllerState(NamedTuple):
    """What a `MemoryController` carries from one step to the next.

    Attributes:
        read: h and c of the read controller's LSTM side by side, shape (batch, 2 · hidden).
        write: the same of the write controller, shape (batch, 2 · hidden).
        memory: rows of key and value side by side, shape (batch, slots, key_dim + value_dim).
        usage: how much each slot was read and written lately, shape (batch, slots). Takes no gradient.
    """

    read: Float[Tensor, "batch twice_hidden"]
    write: Float[Tensor, "batch twice_hidden"]
    memory: Float[Tensor, "batch slots dim"]
    usage: Float[Tensor, "batch slots"]


class MemoryController(nn.Module):
    r"""Recurrent network that answers from an external memory, is then told the right answer, and writes.

    In each step t, with x_t the input and y_t what is revealed after the answer:

        read      r_t = LSTM(x_t),   o_t = P x_t + W_o r_t
                  z_t = softmax(β keys(M_{t−1}) o_t / |o_t|),   m_t = z_tᵀ values(M_{t−1})
        output    c_t = relu(W_c [o_t, m_t]),   answer_t = W_y [c_t, m_t]
        write     h_t = LSTM([c_t, y_t]),   g_t, a_t = sigmoid(W_g h_t)
                  w_t = a_t (g_t z_t + (1 − g_t) e_i), with i the slot used least
                  k_t = o_t + W_k h_t,   v_t = tanh(W_v [h_t, y_t])
                  M_t = (1 − w_t) M_{t−1} + w_t ⊗ [k_t / |k_t|, v_t]

    so that keys and values stay bounded, g_t chooses between amending what was read and taking a slot over, and a_t
    whether to write at all. The usage of a slot fades by a factor a step and grows by z_t + w_t.

    Args:
        in_dim: dimension of an input.
        target_dim: dimension of what is revealed: classes, as one-hot labels, or numbers to predict.
        hidden: units of each controller.
        slots: rows of the memory.
        key_dim: dimension of keys and queries.
        value_dim: dimension of values.
        sharpness: β at the start; it is learned.
        usage_decay: factor by which usage fades a step, in [0, 1).
        generator: source of the initial weights.
        device: where it lives. Default the generator's device.
        dtype: its floating-point type.

    Shapes: inputs (batch, time, in_dim) and targets (batch, time, target_dim) give answers (batch, time, target_dim).
    An answer depends on the inputs up to its own and on the targets before it.

    Raises:
        ValueError: if a number is out of range, or an input does not fit.

    Source: Munkhdalai and Yu 2017, Eq. 1 to 6; the write weights are those of Santoro et al. 2016, Eq. 7.

    Example:
        >>> import torch
        >>> from replica.memory import MemoryController
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = MemoryController(16, 5, generator=generator)
        >>> inputs, labels = torch.randn(2, 30, 16, generator=generator), torch.randint(5, (2, 30), generator=generator)
        >>> answers, state = network(inputs, torch.nn.functional.one_hot(labels, 5).float())
        >>> answers.shape, state.memory.shape
        (torch.Size([2, 30, 5]), torch.Size([2, 16, 64]))
    """

    def __init__(
        self,
        in_dim: int,
        target_dim: int,
        *,
        hidden: int = 32,
        slots: int = 16,
        key_dim: int = 32,
        value_dim: int = 32,
        sharpness: float = 10.0,
        usage_decay: float = 0.95,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("in_dim", in_dim), ("target_dim", target_dim), ("hidden", hidden), ("slots", slots), ("key_dim", key_dim),
            ("value_dim", value_dim),
        ):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        if not (sharpness > 0 and math.isfinite(sharpness)):
            raise ValueError(f"sharpness: got {sharpness}, want a finite number above 0")
        if not 0 <= usage_decay < 1:
            raise ValueError(f"usage_decay: got {usage_decay}, want at least 0 and below 1")
        self.in_dim = in_dim
        self.target_dim = target_dim
        self.hidden = hidden
        self.slots = slots
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.usage_decay = usage_decay
        if device is None:
            device = torch.get_default_device() if generator is None else generator.device

        made = partial(_drawn, generator=generator, device=device, dtype=dtype)
        self.read_controller = made(nn.LSTM, in_dim, hidden, fan=hidden, gain=1.0, batch_first=True)
        self.shortcut = made(nn.Linear, in_dim, key_dim, fan=in_dim, bias=False)
        self.query = made(nn.Linear, hidden, key_dim, fan=hidden, gain=0.1)
        self.output_controller = made(nn.Linear, key_dim + value_dim, hidden, fan=key_dim + value_dim)
        self.answer = made(nn.Linear, hidden + value_dim, target_dim, fan=hidden + value_dim)
        self.write_controller = made(nn.LSTMCell, hidden + target_dim, hidden, fan=hidden, gain=1.0)
        self.key_shift = made(nn.Linear, hidden, key_dim, fan=hidden, gain=0.1)
        self.value = made(nn.Linear, hidden + target_dim, value_dim, fan=hidden + target_dim)
        self.gates = made(nn.Linear, hidden, 2, fan=hidden)
        self._start_as_nearest_neighbours()
        self.log_sharpness = nn.Parameter(torch.full((), math.log(sharpness), device=device, dtype=dtype))

    @torch.no_grad()
    def _start_as_nearest_neighbours(self) -> None:
        """Write all that is seen, mostly to the slot used least, and answer what is read.

        Without this, training first spends hundreds of steps at chance.
        """
        self.gates.bias.copy_(torch.tensor([-2.0, 2.0]))  # type: ignore[operator]
        self.answer.weight[:, self.hidden :] = self.value.weight[:, self.hidden :].T  # type: ignore[index, operator]
        self.answer.weight[:, : self.hidden] *= 0.1  # type: ignore[index, operator]

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"slots={self.slots}, key_dim={self.key_dim}, value_dim={self.value_dim}"

    def initial_state(self, batch: int) -> ControllerState:
        """Empty memory, controllers at rest."""
        start = self.log_sharpness.new_zeros
        # A slope far below one read or write decides which of the unused slots is taken first.
        slope = torch.arange(self.slots, device=self.log_sharpness.device, dtype=self.log_sharpness.dtype) * 1e-4
        return ControllerState(
            start(batch, 2 * self.hidden),
            start(batch, 2 * self.hidden),
            start(batch, self.slots, self.key_dim + self.value_dim),
            slope.expand(batch, -1),
        )

    def forward(
        self,
        inputs: Float[Tensor, "batch time in_dim"],
        targets: Float[Tensor, "batch time target_dim"],
        state: ControllerState | None = None,
        *,
        message: Message | None = None,
    ) -> tuple[Float[Tensor, "batch time target_dim"], ControllerState]:
        """Answers to a stream or to the next part of it.

        Args:
            inputs: shape (batch, time, in_dim).
            targets: what is revealed after each answer, shape (batch, time, target_dim).
            state: where the part before ended. Default: the empty memory.
            message: called as ``message(name, tensor)`` on what one controller hands to another, to put an interface
                between them: ``"query"`` (o_t, for all steps at once, from the read controller), ``"composition"``
                (c_t, on its way to the write controller) and ``"record"`` (the row to be written). Default: nothing is
                changed.

        Returns:
            The answers, and the state at the end.
        """
        if inputs.dim() != 3 or inputs.shape[-1] != self.in_dim or not inputs.shape[1]:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, want (batch, time, {self.in_dim})")
        if targets.shape != (*inputs.shape[:2], self.target_dim):
            wanted = (*inputs.shape[:2], self.target_dim)
            raise ValueError(f"targets: got shape {tuple(targets.shape)}, want {wanted}")
        if state is None:
            state = self.initial_state(len(inputs))
        hand = _unchanged if message is None else message
        reading, (h, c) = self._read(inputs, state.read)
        read = torch.cat([h[0], c[0]], -1)
        queries = hand("query", self.shortcut(inputs) + self.query(reading))
        directions = self.log_sharpness.exp() * normalize(queries, dim=-1)
        writing, cell = state.write.chunk(2, -1)
        memory, usage = state.memory, state.usage
        answers = []
        for query, direction, target in zip(queries.unbind(1), directions.unbind(1), targets.unbind(1), strict=True):
            keys, values = memory.split([self.key_dim, self.value_dim], -1)
            found = torch.softmax((keys @ direction[..., None])[..., 0], -1)
            value = (found[:, None] @ values)[:, 0]
            composition = torch.relu(self.output_controller(torch.cat([query, value], -1)))
            answers.append(torch.cat([composition, value], -1))
            told = torch.cat([hand("composition", composition), target], -1)
            writing, cell = self.write_controller(told, (writing, cell))
            key = normalize(query + self.key_shift(writing), dim=-1)
            record = torch.cat([key, torch.tanh(self.value(torch.cat([writing, target], -1)))], -1)
            amend, strength = torch.sigmoid(self.gates(writing)).split(1, -1)
            free = one_hot(usage.argmin(-1), self.slots).to(found.dtype)
            weights = strength * (amend * found + (1 - amend) * free)
            memory = memory + weights[..., None] * (hand("record", record)[:, None] - memory)
            usage = self.usage_decay * usage + (found + weights).detach()
        return self.answer(torch.stack(answers, 1)), ControllerState(
            read, torch.cat([writing, cell], -1), memory, usage
        )

    @in_own_precision  # not every processor has an LSTM in half precision
    def _read(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        found: tuple[Tensor, tuple[Tensor, Tensor]] = self.read_controller(inputs, _layers(state))
        return found


def _layers(state: Tensor) -> tuple[Tensor, Tensor]:
    h, c = state.chunk(2, -1)
    return h[None].contiguous(), c[None].contiguous()


def _unchanged(name: str, value: Tensor) -> Tensor:
    return value


def _drawn(
    kind: Callable[..., nn.Module],
    *sizes: int,
    fan: int,
    gain: float = 3.0,
    generator: torch.Generator | None,
    device: torch.device | str,
    dtype: torch.dtype | None,
    **options: bool,
) -> nn.Module:
    """A module whose parameters are uniform with variance gain / (3 fan)."""
    # PyTorch's own start runs on the meta device, where it leaves the global random state alone.
    module = kind(*sizes, device="meta", dtype=dtype, **options).to_empty(device=device)
    for parameter in module.parameters():
        bound = math.sqrt(gain / fan)
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return module
