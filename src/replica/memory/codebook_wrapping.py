"""Codebooks inside a model: put behind any of its modules by name, trained, watched, and intervened on.

Tamkin, Taufeeque & Goodman 2023, "Codebook Features", arXiv 2310.17230. To control a network: find codes that are active
when the behaviour is there (`record_codes`), then have those codes active (`activate_code`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .codebook_layer import CodebookLayer, ForcedCode, Quantized

CodeRecord = dict[str, list[Quantized]]
"""By the name of the module that a codebook sits at: what it made of its inputs, each time it ran."""


def attach_codebooks(
    model: nn.Module, codebooks: Mapping[str, CodebookLayer], *, on: Literal["output", "input"] = "output"
) -> None:
    """Puts a codebook behind (or before) each named module, in place.

    A module stays what it is, with its own class, attributes and names of weights; the codebook becomes its child
    ``codebook``, of an `nn.Sequential` the last stage. Of a module that gives or takes several things, the first is
    quantised.

    Args:
        model: any model.
        codebooks: by the names that ``model.named_modules()`` gives. For attention heads: the module whose output (or
            the projection whose input) is the heads' outputs side by side, and a codebook with a group a head.
        on: quantise what the modules give, or what they are given.

    Raises:
        ValueError: if `on` is unknown, or a name is no module of the model, has a codebook already, or is an
            `nn.Sequential` whose input is asked for.

    Example:
        >>> import torch
        >>> from replica.memory import CodebookLayer, attach_codebooks, codebooks_of
        >>> from replica.training import mlp
        >>> net = mlp((4, 8, 3))
        >>> attach_codebooks(net, {"0": CodebookLayer(8, 20)})
        >>> list(codebooks_of(net)), net(torch.zeros(5, 4)).shape
        (['0'], torch.Size([5, 3]))
    """
    if on not in ("output", "input"):
        raise ValueError(f"on: got {on!r}, want 'output' or 'input'")
    modules = dict(model.named_modules())
    for name in codebooks:
        if name not in modules:
            raise ValueError(f"codebooks: got {name!r}, want names of modules, such as {list(modules)[1:4]}")
        if hasattr(modules[name], "codebook"):
            raise ValueError(f"codebooks: got {name!r}, which has a codebook already, want modules without")
        if on == "input" and isinstance(modules[name], nn.Sequential):
            raise ValueError(f"codebooks: got {name!r}, a Sequential, with on='input', want its first module instead")
    for name, codebook in codebooks.items():
        modules[name].codebook = codebook
        if isinstance(modules[name], nn.Sequential):
            continue  # runs its children one after the other, and this one now comes last
        if on == "output":
            modules[name].register_forward_hook(_quantize_output)
        else:
            modules[name].register_forward_pre_hook(_quantize_input)


def codebooks_of(model: nn.Module) -> dict[str, CodebookLayer]:
    """The codebooks in a model, by the name of the module that they are attached to, in the model's order."""
    return {
        name.removesuffix(".codebook"): module
        for name, module in model.named_modules()
        if isinstance(module, CodebookLayer)
    }


@contextmanager
def record_codes(model: nn.Module) -> Iterator[CodeRecord]:
    """Keeps what every codebook of the model makes of its inputs, for as long as the context lasts.

    Example:
        >>> import torch
        >>> from replica.memory import CodebookLayer, attach_codebooks, reconstruction_loss, record_codes
        >>> from replica.training import mlp
        >>> net = mlp((4, 8, 3))
        >>> attach_codebooks(net, {"0": CodebookLayer(8, 20, active=2)})
        >>> with record_codes(net) as record:
        ...     loss = net(torch.zeros(5, 4)).square().mean()
        >>> (loss + reconstruction_loss(record)).backward()
        >>> record["0"][0].codes.shape
        torch.Size([5, 1, 2])
    """
    codebooks = codebooks_of(model)
    record: CodeRecord = {name: [] for name in codebooks}
    observers = {name: partial(_keep, kept) for name, kept in record.items()}
    for name, codebook in codebooks.items():
        codebook.observers.append(observers[name])
    try:
        yield record
    finally:
        for name, codebook in codebooks.items():
            _remove(codebook.observers, observers[name])


def reconstruction_loss(record: CodeRecord) -> Float[Tensor, ""]:
    """Sum over codebooks of ‖output − stopgrad(inputs)‖², to be added to the training loss (Section 2).

    Raises:
        ValueError: if nothing was recorded.
    """
    losses = [quantized.reconstruction for kept in record.values() for quantized in kept]
    if not losses:
        raise ValueError("record: got nothing recorded, want a model with codebooks run inside record_codes")
    return torch.stack(losses).sum()


@contextmanager
def bypass_codebooks(model: nn.Module) -> Iterator[None]:
    """Lets activations through as they are, for as long as the context lasts."""
    before = [(codebook, codebook.bypass) for codebook in codebooks_of(model).values()]
    for codebook, _ in before:
        codebook.bypass = True
    try:
        yield
    finally:
        for codebook, bypass in before:
            codebook.bypass = bypass


def initialize_codebooks(
    model: nn.Module,
    run: Callable[[], object],
    *,
    iterations: int = 10,
    generator: torch.Generator | None = None,
) -> None:
    """Sets the codes of all codebooks by k-means over the activations that the model has without them.

    Args:
        model: with codebooks attached, trained before or not.
        run: runs the model over some data, such as ``lambda: model(tokens)``.
        iterations: of Lloyd's algorithm, see `CodebookLayer.initialize`.
        generator: see `CodebookLayer.initialize`.

    Raises:
        ValueError: if `run` does not reach every codebook.
    """
    codebooks = codebooks_of(model)
    with bypass_codebooks(model), torch.no_grad():
        seen = _inputs_of(codebooks, run)
    for name, codebook in codebooks.items():
        codebook.initialize(seen[name], iterations=iterations, generator=generator)


def replace_dead_codes(
    model: nn.Module, run: Callable[[], object], *, generator: torch.Generator | None = None
) -> dict[str, Int[Tensor, " groups"]]:
    """Moves codes never active in training since the last call to random activations of a run.

    Args:
        model: with codebooks attached.
        run: runs the model over some data.
        generator: see `CodebookLayer.replace_dead`.

    Returns:
        How many codes were moved, by module and group.

    Raises:
        ValueError: if `run` does not reach every codebook.
    """
    codebooks = codebooks_of(model)
    counted = {name: codebook.usage.clone() for name, codebook in codebooks.items()}
    with torch.no_grad():
        seen = _inputs_of(codebooks, run)
    moved = {}
    for name, codebook in codebooks.items():
        codebook.usage.copy_(counted[name])  # a run in training mode counts too
        moved[name] = codebook.replace_dead(seen[name], generator=generator)
    return moved


@contextmanager
def activate_code(
    codebook: CodebookLayer,
    code: int | Int[Tensor, "..."],
    *,
    group: int = 0,
    where: Bool[Tensor, "..."] | None = None,
) -> Iterator[None]:
    """Has a code active for as long as the context lasts, in place of the least similar of the active ones.

    Contexts may be nested: with k active codes, k of them can be forced; a further one takes the place of the first.

    Args:
        codebook: the layer, such as ``codebooks_of(model)["blocks.1.mlp"]``.
        code: index of the code: one for all inputs, or one each, of a shape that broadcasts to the inputs' (without
            their last dimension).
        group: which codebook of the layer, such as the head.
        where: at which inputs, of a shape that broadcasts likewise, such as positions. Default everywhere.

    Raises:
        ValueError: if there is no such code or group.

    Example:
        >>> import torch
        >>> from replica.memory import CodebookLayer, activate_code
        >>> layer = CodebookLayer(4, 10)
        >>> with activate_code(layer, 7, where=torch.tensor([True, False, False])):
        ...     steered = layer(torch.ones(2, 3, 4))
        >>> bool((steered[:, 0] == layer.codes[0, 7]).all())
        True
    """
    index = torch.as_tensor(code, device=codebook.codes.device)
    _check_indices(codebook, group, index)
    forced = ForcedCode(index, group, where)
    codebook.forced.append(forced)
    try:
        yield
    finally:
        _remove(codebook.forced, forced)


@contextmanager
def ablate_codes(codebook: CodebookLayer, codes: Sequence[int], *, group: int = 0) -> Iterator[None]:
    """Keeps codes from being active for as long as the context lasts; the next most similar ones take their places.

    Args:
        codebook: the layer.
        codes: indices of the codes.
        group: which codebook of the layer.

    Raises:
        ValueError: if there is no such code or group, or fewer codes than must be active are left.
    """
    _check_indices(codebook, group, torch.as_tensor(list(codes), dtype=torch.int64))
    ablated = [(group, int(code)) for code in codes]
    left = codebook.count - len({code for owner, code in [*codebook.ablated, *ablated] if owner == group})
    if left < codebook.active:
        raise ValueError(f"codes: got all but {left} of {codebook.count}, want {codebook.active} or more left")
    codebook.ablated.extend(ablated)
    try:
        yield
    finally:
        del codebook.ablated[len(codebook.ablated) - len(ablated) :]


@contextmanager
def activate_codes(
    model: nn.Module,
    codes: Sequence[tuple[str, int, int | Int[Tensor, "..."]]],
    *,
    where: Bool[Tensor, "..."] | None = None,
) -> Iterator[None]:
    """Has several codes active, each named by (module, group, code); see `activate_code`.

    Raises:
        ValueError: if there is no such module with a codebook, code or group.
    """
    codebooks = codebooks_of(model)
    with ExitStack() as stack:
        for name, group, code in codes:
            if name not in codebooks:
                raise ValueError(f"codes: got module {name!r}, want one with a codebook, of {list(codebooks)}")
            stack.enter_context(activate_code(codebooks[name], code, group=group, where=where))
        yield


def _quantize_output(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    codebook = module.get_submodule("codebook")
    return (codebook(output[0]), *output[1:]) if isinstance(output, tuple) else codebook(output)


def _quantize_input(module: nn.Module, args: tuple[Any, ...]) -> Any:
    return (module.get_submodule("codebook")(args[0]), *args[1:])


def _inputs_of(codebooks: Mapping[str, CodebookLayer], run: Callable[[], object]) -> dict[str, Tensor]:
    seen: dict[str, list[Tensor]] = {name: [] for name in codebooks}
    handles = []
    for name, codebook in codebooks.items():
        handles.append(codebook.register_forward_pre_hook(partial(_keep_input, seen[name])))
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    missed = [name for name, kept in seen.items() if not kept]
    if missed:
        raise ValueError(f"run: did not reach the codebooks at {missed}, want a run through the whole model")
    return {name: torch.cat([one.flatten(0, -2) for one in kept]) for name, kept in seen.items()}


def _keep(kept: list[Quantized], found: Quantized) -> None:
    kept.append(found)


def _keep_input(kept: list[Tensor], module: nn.Module, args: tuple[Any, ...]) -> None:
    kept.append(args[0].detach())


def _remove(things: list[Any], thing: Any) -> None:
    # By identity: comparing tensors inside would ask for their truth value.
    del things[next(i for i in reversed(range(len(things))) if things[i] is thing)]


def _check_indices(codebook: CodebookLayer, group: int, codes: Tensor) -> None:
    if not 0 <= group < codebook.groups:
        raise ValueError(f"group: got {group}, want 0 to {codebook.groups - 1}")
    if codes.is_floating_point() or (codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook.count):
        given = codes.tolist() if codes.numel() < 8 else "some out of range"
        raise ValueError(f"code: got {given}, want whole numbers from 0 to {codebook.count - 1}")
