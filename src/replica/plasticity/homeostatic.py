"""Homeostatic learning: what a network perceives acts on its own learning rate, if it lets it (Man et al., 2022)."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call

Loss = Callable[[Tensor, Tensor], Tensor]
Regulation = Literal["foresight", "random", "none"]
Simulation = Literal["batch", "sample"]

_FLOOR = 1e-8


class HomeostaticLearner:
    """Gradient descent whose learning rate is raised or lowered by the things that the network classifies.

    Every class has an effect on the network that perceives it: excitatory ones raise its learning rate η by a fixed
    amount δ, inhibitory ones lower it. With the first row of a batch the network has a choice. It guesses the row's class
    ŷ, and runs through two futures on what it remembers, the last ``memory`` rows before this batch:

        θ_leave = θ − η g,   θ_take = θ − (η + δ s(ŷ)) g,

    s = +1 for excitatory classes and −1 for inhibitory ones. Where the second future classifies the remembered rows better,
    the network takes the thing in, and the true class acts: η becomes η + δ s(y), never below 0. So a network that
    errs is changed in a way it did not foresee. The step on the batch is plain gradient descent with the rate that results.

    Letters of the paper: η ``rate``, δ ``effect`` times the first rate.

    Args:
        network: Any module that maps inputs ``(batch, *shape)`` to scores ``(batch, classes)``; its parameters are trained
            in place.
        loss: Of scores and labels, the mean over rows.
        learning_rate: The first rate; a tensor ``(replicas,)`` gives every replica its own.
        regulation: ``"foresight"`` as above; ``"random"``, the paper's control, takes with probability ½; ``"none"`` keeps
            the rate.
        effect: δ as a share of the first rate.
        excitatory: Which classes raise the rate, ``(classes,)``; the upper half if None.
        memory: Rows remembered.
        every: Batches from one choice to the next.
        simulate: The gradient g of the two futures: the part that the perceived ``"sample"`` has in the batch's gradient (its
            own over the number of rows), as in the authors' program; or the whole ``"batch"``'s, the step to be taken.
        replicas: Train many networks at once: all parameters, inputs, labels and scores then have this many entries in a
            leading dimension, and each replica has a rate and a memory of its own. None for one network without it.
        generator: Where ``"random"`` draws from.

    Attributes:
        rate: The rate of now, a scalar or ``(replicas,)``.
        taken: How often a thing was taken in, of the same shape.

    Raises:
        ValueError: If an argument is out of range, or parameters do not have the leading dimension of replicas.

    Source:
        Man, Damasio and Neven 2022, "Need is all you need: homeostatic neural networks adapt to concept shift"
        (arXiv 2205.08645); details from the authors' program (github.com/kingsonman/homeostatic-neural-networks).

    Example:
        >>> net = nn.Linear(4, 3)
        >>> learner = HomeostaticLearner(net, nn.functional.cross_entropy, 0.1, memory=4)
        >>> for _ in range(5):
        ...     before = learner.step(torch.randn(8, 4), torch.randint(3, (8,)))
        >>> learner.rate.shape, bool(learner.rate > 0)
        (torch.Size([]), True)
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        learning_rate: float | Float[Tensor, " replicas"] = 0.05,
        *,
        regulation: Regulation = "foresight",
        effect: float = 0.1,
        excitatory: Bool[Tensor, " classes"] | None = None,
        memory: int = 20,
        every: int = 1,
        simulate: Simulation = "sample",
        replicas: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if regulation not in get_args(Regulation):
            raise ValueError(f"regulation: got {regulation!r}, want one of {', '.join(get_args(Regulation))}")
        if simulate not in get_args(Simulation):
            raise ValueError(f"simulate: got {simulate!r}, want one of {', '.join(get_args(Simulation))}")
        for name, count in (("memory", memory), ("every", every)):
            if count < 1:
                raise ValueError(f"{name}: got {count}, want 1 or more")
        if not 0 <= effect <= 1:
            raise ValueError(f"effect: got {effect}, want between 0 and 1")
        if replicas is not None and replicas < 1:
            raise ValueError(f"replicas: got {replicas}, want 1 or more, or None")
        self.network, self.loss, self.replicas = network, loss, replicas
        self.parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise ValueError("network: got one without parameters to train, want at least one")
        if replicas is not None:
            for name, parameter in self.parameters.items():
                if parameter.ndim == 0 or len(parameter) != replicas:
                    raise ValueError(
                        f"network: got parameter {name} of shape {tuple(parameter.shape)}, "
                        f"want a leading dimension of {replicas} replicas"
                    )
        first = next(iter(self.parameters.values()))
        rate = torch.as_tensor(learning_rate, dtype=first.dtype, device=first.device).detach()
        shape = () if replicas is None else (replicas,)
        if rate.shape not in ((), shape):
            raise ValueError(f"learning_rate: got shape {tuple(rate.shape)}, want a number or shape {shape}")
        if not bool((rate > 0).all()):
            raise ValueError(f"learning_rate: got {float(rate.min())}, want more than 0")
        self.rate = rate.expand(shape).clone()
        self.amount = effect * self.rate
        self.taken = torch.zeros(shape, dtype=torch.long, device=first.device)
        self.regulation, self.simulate, self.excitatory = regulation, simulate, excitatory
        self.memory, self.every, self.generator = memory, every, generator
        self.steps = 0
        self.remembered: tuple[Tensor, Tensor] | None = None

    def step(
        self, inputs: Float[Tensor, "..."], labels: Int[Tensor, "*replicas batch"]
    ) -> Float[Tensor, "*replicas batch classes"]:
        """Perceive the batch's first row, choose, and take one step of gradient descent on the batch.

        Args:
            inputs: What the network takes.
            labels: Class of every row.

        Returns:
            The scores that the network gave the batch before it learned from it.

        Raises:
            ValueError: If shapes do not fit the replicas or each other.
        """
        axis = 0 if self.replicas is None else 1
        if labels.ndim != axis + 1 or inputs.shape[: axis + 1] != labels.shape:
            raise ValueError(
                f"labels: got shape {tuple(labels.shape)} with inputs {tuple(inputs.shape)}, "
                f"want {'(batch,)' if axis == 0 else '(replicas, batch)'} as the inputs begin"
            )
        if labels.shape[axis] == 0:
            raise ValueError("inputs: got an empty batch, want at least one row")
        scores = self.network(inputs)
        gradient = self._gradient(scores, labels, retain_graph=self.simulate == "sample")
        if self.regulation != "none" and self.steps % self.every == 0:
            self._regulate(scores, labels, gradient)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.addcmul_(self._per_replica(self.rate, parameter), gradient[name], value=-1)
        self.steps += 1
        if self.regulation == "foresight":
            self._remember(inputs.detach(), labels)
        return scores.detach()

    def rename(self, becomes: Int[Tensor, "*replicas classes"]) -> None:
        """Tell the learner that classes have other names now, also those of the rows that it remembers.

        In the authors' program remembered rows are judged by what they are called now, not by what they were called then.

        Args:
            becomes: What a row of each class is called from now on, as `LabelSwaps.swap` returns it.
        """
        if self.remembered is not None:
            inputs, labels = self.remembered
            self.remembered = inputs, becomes.to(labels.device).gather(-1, labels)

    def gradients(self, inputs: Float[Tensor, "..."], labels: Int[Tensor, "*replicas batch"]) -> dict[str, Tensor]:
        """The loss's gradient, along which a step descends, by the names of the parameters."""
        return self._gradient(self.network(inputs), labels, retain_graph=False)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on besides the network and the generator."""
        return {
            "rate": self.rate, "amount": self.amount, "taken": self.taken, "steps": self.steps,
            "remembered": self.remembered,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for name in ("rate", "amount", "taken"):
            given, own = state[name], getattr(self, name)
            if given.shape != own.shape:
                raise ValueError(f"state: got {name} of shape {tuple(given.shape)}, want {tuple(own.shape)}")
            setattr(self, name, given.to(own.device, own.dtype).clone())
        self.steps = int(state["steps"])
        kept = state["remembered"]
        self.remembered = None if kept is None else (kept[0].clone(), kept[1].clone())

    def _gradient(self, scores: Tensor, labels: Tensor, *, retain_graph: bool, share: float = 1.0) -> dict[str, Tensor]:
        # The sum of the replicas' losses: none depends on another's parameters.
        mean = self.loss(scores.flatten(0, -2), labels.flatten()) * (share * (self.replicas or 1))
        found = torch.autograd.grad(mean, list(self.parameters.values()), retain_graph=retain_graph, allow_unused=True)
        return {
            name: torch.zeros_like(parameter) if value is None else value
            for (name, parameter), value in zip(self.parameters.items(), found, strict=True)
        }

    def _regulate(self, scores: Tensor, labels: Tensor, gradient: dict[str, Tensor]) -> None:
        answer = labels[..., 0]
        if self.regulation == "random":
            draws = torch.rand(answer.shape, generator=self.generator, device=self.rate.device)
            take = draws > 0.5
        else:
            if self.remembered is None or self.remembered[1].shape[-1] < self.memory:
                return
            if self.simulate == "sample":
                gradient = self._gradient(
                    scores[..., :1, :], labels[..., :1], retain_graph=False, share=1 / labels.shape[-1]
                )
            guess = scores.detach()[..., 0, :].argmax(-1)
            classes = scores.shape[-1]
            stay = self._foreseen(self.rate, gradient)
            take = self._foreseen(self._moved(guess, classes), gradient) > stay
        self.rate = torch.where(take, self._moved(answer, scores.shape[-1]), self.rate)
        self.taken += take

    def _moved(self, perceived: Tensor, classes: int) -> Tensor:
        """The rate after these classes acted on it."""
        if self.excitatory is None:
            raises = perceived >= classes // 2
        else:
            if self.excitatory.shape != (classes,):
                raise ValueError(f"excitatory: got shape {tuple(self.excitatory.shape)}, want ({classes},)")
            raises = self.excitatory.to(perceived.device)[perceived]
        moved = torch.where(raises, self.rate + self.amount, self.rate - self.amount)
        return torch.where(moved < 0, _FLOOR, moved)

    @torch.no_grad()
    def _foreseen(self, rate: Tensor, gradient: dict[str, Tensor]) -> Tensor:
        """How many remembered rows are classified right after a step with this rate."""
        assert self.remembered is not None
        inputs, labels = self.remembered
        after: dict[str, Tensor] = {
            name: torch.addcmul(p, self._per_replica(rate, p), gradient[name], value=-1)
            for name, p in self.parameters.items()
        }
        # Buffers as copies: a look into the future leaves no trace in running statistics.
        after |= {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        return (functional_call(self.network, after, (inputs,)).argmax(-1) == labels).sum(-1)

    def _per_replica(self, rate: Tensor, parameter: Tensor) -> Tensor:
        return rate if self.replicas is None else rate.view(-1, *[1] * (parameter.ndim - 1))

    def _remember(self, inputs: Tensor, labels: Tensor) -> None:
        axis = labels.ndim - 1
        if self.remembered is not None:
            inputs = torch.cat([self.remembered[0], inputs], dim=axis)
            labels = torch.cat([self.remembered[1], labels], dim=axis)
        start = max(0, labels.shape[axis] - self.memory)
        self.remembered = (
            inputs.narrow(axis, start, labels.shape[axis] - start).clone(),
            labels.narrow(axis, start, labels.shape[axis] - start).clone(),
        )
