"""What every entry of a paper, and every baseline, must pass: its problem's protocol on small data and odd shapes.

Each problem has a class of cases here; a problem without one fails.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from replica.lab.catalogue import records
from replica.lab.claims import Trial
from replica.lab.problems.credit.networks import network
from replica.lab.problems.pretext.nets import Encoder
from replica.lab.problems.protocol import takes
from replica.lab.problems.registry import get, names
from replica.lab.problems.scaling.built import build
from replica.lab.problems.scaling.search import train
from replica.lab.problems.steer.budget import Budget, Model, Reward
from replica.lab.problems.steer.laws import ChainLaw, MixtureLaw
from replica.lab.problems.stream.info import StreamInfo
from replica.lab.problems.transport.costs import Cost
from replica.lab.runner.execute import seed_everything, use_one_thread
from replica.lab.runner.job import load_paper
from replica.training import mlp, ridge_probe

Output = dict[str, Any]


class RecallCases:
    """Patterns of ±1 and cues: one of each, odd sizes, more cues than patterns."""

    shapes: Sequence[tuple[int, ...]] = ((1, 4, 1), (3, 17, 5), (20, 64, 40))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        count, dim, batch = shape
        rng = np.random.default_rng(shape)
        patterns = torch.tensor(np.sign(rng.normal(size=(count, dim))), dtype=torch.float32)
        cues = patterns[rng.integers(count, size=batch)]
        method.store(patterns.clone())
        recalled = torch.as_tensor(method.recall(cues.clone()))
        assert recalled.shape == cues.shape
        assert torch.isfinite(recalled).all()
        return {"recalled": recalled}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """One random pattern of 100 neurons, undamaged: any memory gives it back."""
        pattern = torch.tensor(np.sign(np.random.default_rng(0).normal(size=(1, 100))), dtype=torch.float32)
        method = make(Trial(0, "smoke"))
        method.store(pattern)
        assert torch.equal(torch.as_tensor(method.recall(pattern)).sign(), pattern)


class ClassificationCases:
    """Rows, features, classes: the smallest, one feature, more features than rows, equal rows, unequal classes."""

    shapes = ((4, 1, 2), (7, 3, 3), (12, 40, 2), (30, 5, 4))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        rows, features, classes = shape
        rng = np.random.default_rng(shape)
        labels = np.minimum(np.arange(rows), rng.integers(classes, size=rows))
        labels[:classes] = np.arange(classes)
        X = rng.normal(size=(rows, features)) + labels[:, None]
        X[-1] = X[0]
        fitted = method.fit(X.copy(), labels.copy())
        asked = np.concatenate([X, rng.normal(size=(3, features)), np.full((1, features), 1e3)])
        probabilities = np.asarray(fitted.predict_proba(asked))
        assert probabilities.shape == (rows + 4, classes)
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert probabilities.min() >= 0
        predicted = np.asarray(fitted.predict(asked))
        assert np.isin(predicted, np.arange(classes)).all()
        return {"probabilities": torch.tensor(probabilities), "predicted": torch.tensor(predicted)}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Two clouds ten standard deviations apart: any learner but the trivial one tells them apart."""
        rng = np.random.default_rng(0)
        labels = np.arange(80) % 2
        X = rng.normal(size=(80, 3)) + 10 * labels[:, None]
        fitted = make(Trial(0, "smoke")).fit(X[:60], labels[:60])
        assert (np.asarray(fitted.predict(X[60:])) == labels[60:]).mean() >= 0.95


class RegressionCases:
    """Rows, features: the smallest, one feature, more features than rows, equal rows; equal targets in the last."""

    shapes = ((2, 1), (7, 1), (12, 40), (60, 5), (8, 2))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        rows, features = shape
        rng = np.random.default_rng(shape)
        X = rng.normal(size=(rows, features))
        X[-1] = X[0]
        y = np.zeros(rows) if shape == self.shapes[-1] else X[:, 0] + rng.normal(size=rows)
        fitted = method.fit(X.copy(), y.copy()) or method
        asked = np.concatenate([X, rng.normal(size=(3, features)), np.full((1, features), 1e3)])
        outputs = {"predicted": fitted.predict(asked.copy())}
        shapes = {"predicted": (rows + 4,), "quantiles": (rows + 4, 3), "density": (rows + 4,)}
        if hasattr(fitted, "predict_quantiles"):
            outputs["quantiles"] = fitted.predict_quantiles(asked.copy(), np.array([0.05, 0.5, 0.95]))
        if hasattr(fitted, "log_density"):
            outputs["density"] = fitted.log_density(asked.copy(), np.zeros(rows + 4))
        for name, output in outputs.items():
            outputs[name] = torch.as_tensor(output)
            assert outputs[name].shape == shapes[name]
            assert torch.isfinite(outputs[name]).all()
        return outputs

    def works(self, make: Callable[[Trial], Any]) -> None:
        """A line with little noise: any learner but the trivial one is nearer to it than the mean, and intervals hold it."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(260, 2))
        y = X[:, 0] + 0.1 * rng.normal(size=260)
        fitted = make(Trial(0, "smoke")).fit(X[:200], y[:200])
        assert np.square(np.asarray(fitted.predict(X[200:])) - y[200:]).mean() < 0.25
        if hasattr(fitted, "predict_quantiles"):
            low, high = np.asarray(fitted.predict_quantiles(X[200:], np.array([0.05, 0.95]))).T
            assert 0.5 < ((low <= y[200:]) & (y[200:] <= high)).mean() <= 1
            assert (high - low).mean() < 3


class OperatorCases:
    """Samples, channels, grid: lines and squares, even and odd, longer than wide."""

    shapes = ((4, 1, 17), (5, 2, 32), (4, 1, 17, 17), (6, 2, 16, 16), (4, 1, 9, 17))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        count, channels, *grid = shape
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(count, channels, *grid, generator=generator)
        outputs = inputs[:, :1].cumsum(-1) / grid[-1]
        method.fit(inputs.clone(), outputs.clone())
        predicted = self.predicted(method, inputs)
        finer = torch.randn(2, channels, *(2 * size - 1 for size in grid), generator=generator)
        return {
            "same grid": predicted,
            "finer grid": self.predicted(method, finer),
            "one": self.predicted(method, inputs[:1]),
        }

    @staticmethod
    def predicted(method: Any, inputs: Tensor) -> Tensor:
        output = torch.as_tensor(method.predict(inputs.clone()))
        assert output.shape == (len(inputs), 1, *inputs.shape[2:])
        assert torch.isfinite(output).all()
        return output

    def works(self, make: Callable[[Trial], Any]) -> None:
        """The identity on smooth functions: any network does better than the mean."""
        x = torch.linspace(0, 1, 17)
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(72, 3, 1, 1, generator=generator)
        waves = torch.stack([torch.sin(torch.pi * k * x)[:, None] * torch.sin(torch.pi * k * x) for k in (1, 2, 3)])
        functions = (weights * waves).sum(1, keepdim=True)
        method = make(Trial(0, "laptop"))
        method.fit(functions[:64], functions[:64])
        error = (torch.as_tensor(method.predict(functions[64:])) - functions[64:]).square().mean()
        assert error < 0.5 * functions[64:].var()


class StreamCases:
    """Tasks, classes a task, items a class, item's shape: one item, a lone class, a table, images even, odd and in colour."""

    shapes = ((2, 1, 1, 5), (3, 2, 7, 6), (2, 2, 5, 8, 8), (2, 3, 4, 9, 7), (2, 1, 6, 16, 16, 3))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        tasks, classes, count, *item = shape
        generator = torch.Generator().manual_seed(0)
        templates = torch.randn(tasks * classes, *item, generator=generator)
        self.call(method, "start", self.info(tasks, classes, tuple(item)))
        self.call(method, "pretrain", torch.randn(12, *item, generator=generator), None)
        outputs = {}
        for task in range(tasks):
            labels = torch.arange(task * classes, (task + 1) * classes).repeat_interleave(count)
            inputs = templates[labels] + 0.3 * torch.randn(len(labels), *item, generator=generator)
            self.call(method, "begin_task", task, inputs.clone(), labels.clone())
            for rows in torch.randperm(len(labels), generator=generator).split(4) * 2:
                method.learn(inputs[rows], labels[rows], task)
            outputs[f"within {task}"] = self.scores(method, templates)
            self.call(method, "end_task", task, inputs.clone(), labels.clone())
            outputs[f"after {task}"] = self.scores(method, templates)
            outputs[f"one after {task}"] = self.scores(method, templates[:1])
        return outputs

    @staticmethod
    def info(tasks: int, classes: int, shape: tuple[int, ...]) -> StreamInfo:
        parts = tuple(tuple(range(task * classes, (task + 1) * classes)) for task in range(tasks))
        return StreamInfo(shape, tasks * classes, "class", tasks, parts, 2, 4, torch.device("cpu"))

    @staticmethod
    def call(method: Any, hook: str, *arguments: Any) -> None:
        if callable(getattr(method, hook, None)):
            getattr(method, hook)(*arguments)

    @staticmethod
    def scores(method: Any, inputs: Tensor) -> Tensor:
        output = torch.as_tensor(method.predict(inputs.clone(), None)).detach()
        assert output.shape == (len(inputs), len(output[0]))
        assert not (output.isnan() | output.isposinf()).any()
        return output

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Two tasks of two classes, far apart: any learner tells those of the last task apart."""
        generator = torch.Generator().manual_seed(0)
        templates = torch.randn(4, 8, 8, generator=generator)
        method = make(Trial(0, "smoke"))
        self.call(method, "start", self.info(2, 2, (8, 8)))
        everything = torch.arange(4).repeat(20)
        self.call(method, "pretrain", templates[everything] + 0.5 * torch.randn(80, 8, 8, generator=generator), None)
        for task in range(2):
            labels = torch.tensor([2 * task, 2 * task + 1]).repeat(40)
            inputs = templates[labels] + 0.5 * torch.randn(80, 8, 8, generator=generator)
            self.call(method, "begin_task", task, inputs, labels)
            for rows in torch.randperm(80, generator=generator).split(8) * 5:
                method.learn(inputs[rows], labels[rows], task)
            self.call(method, "end_task", task, inputs, labels)
        labels = torch.tensor([2, 3]).repeat(20)
        scores = self.scores(method, templates[labels] + 0.5 * torch.randn(40, 8, 8, generator=generator))
        assert (scores[:, 2:].argmax(dim=1) + 2 == labels).float().mean() >= 0.9


class CreditCases:
    """Features, classes, hidden layers of a small network: one layer, one unit of input more than classes, many."""

    shapes = ((4, 2, 1), (11, 3, 3), (20, 10, 6))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        features, classes, depth = shape
        generator = torch.Generator().manual_seed(0)
        net = network("mlp", (features,), classes, depth=depth, width=8, generator=generator)
        inputs = torch.randn(12, features, generator=generator)
        labels = torch.arange(12) % classes
        rule = method.build(net, torch.nn.functional.cross_entropy, inputs.clone()) or method
        for rows in (slice(0, 8), slice(8, 12), slice(0, 1)):
            rule.step(inputs[rows], labels[rows])
        scores = self.scores(rule, net, inputs)
        assert scores.shape == (12, classes)
        assert torch.isfinite(scores).all()
        moved = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        if hasattr(rule, "gradients"):
            directions = rule.gradients(inputs, labels)
            assert set(directions) <= set(moved)
            assert all(torch.equal(moved[name], parameter) for name, parameter in net.named_parameters())
            moved |= {f"direction of {name}": value for name, value in directions.items()}
        return {"scores": scores, **moved}

    @staticmethod
    def scores(rule: Any, net: torch.nn.Module, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.as_tensor(rule.predict(inputs.clone()) if hasattr(rule, "predict") else net(inputs))

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Three clouds, six standard deviations apart: any rule tells them apart."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(120) % 3
        inputs = torch.randn(120, 9, generator=generator) + 6 * torch.eye(9)[labels]
        net = network("mlp", (9,), 3, depth=2, width=16, generator=generator)
        method = make(Trial(0, "laptop"))
        rule = method.build(net, torch.nn.functional.cross_entropy, inputs[:16].clone()) or method
        for _ in range(3):  # most are there after twenty epochs, the slowest after sixty
            for rows in itertools.chain(*(torch.randperm(96, generator=generator).split(16) for _ in range(20))):
                rule.step(inputs[rows], labels[rows])
            right = self.scores(rule, net, inputs[96:]).argmax(1) == labels[96:]
            if right.float().mean() > 0.8:
                return
        raise AssertionError(f"{right.float().mean():.2f} of the held-out rows are told right")


class EventsCases:
    """Recordings, steps, units, classes: one step, one unit, one recording a class, more units than steps, silence."""

    shapes = ((4, 1, 3, 2), (6, 9, 1, 2), (3, 7, 5, 3), (51, 12, 30, 3))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        count, steps, units, classes = shape
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(count) % classes
        events = (torch.rand(count, steps, units, generator=generator) < 0.2).float()
        events[0, 0, 0], events[-1] = 3, 0
        method.fit(events.clone(), labels.clone())
        outputs = {"all": method.predict(events.clone()), "one": method.predict(events[:1].clone())}
        for output in outputs.values():
            assert output.shape == (len(output), classes)
            assert torch.isfinite(output).all()
        torch.testing.assert_close(outputs["all"][:1], outputs["one"], rtol=1e-4, atol=1e-4)
        if hasattr(method, "operations"):
            counted = method.operations(events.clone())
            assert counted["operations"] >= 0
            outputs["operations"] = torch.tensor([float(value) for value in counted.values()])
        return outputs

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Two halves of the units, one for each class: any network tells them apart."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(160) % 2
        rates = 0.05 + 0.3 * (torch.arange(10) // 5 == labels[:, None])
        events = (torch.rand(160, 15, 10, generator=generator) < rates[:, None]).float()
        method = make(Trial(0, "laptop"))
        method.fit(events[:120], labels[:120])
        assert (method.predict(events[120:]).argmax(1) == labels[120:]).float().mean() > 0.85


class TeacherCases:
    """Examples, and the shape of one: a number, no patches, one patch, many."""

    shapes = ((2, 1), (7, 3), (12, 1, 5), (30, 6, 4))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        count, *form = shape
        rng = np.random.default_rng(shape)
        X = rng.normal(size=(count, int(np.prod(form))))
        y = np.sign(X[:, 0]) if count > 7 else X.sum(axis=1)
        told = {"shape": tuple(form)} if "shape" in inspect.signature(method.fit).parameters else {}
        fitted = method.fit(X.copy(), y.copy(), **told)
        outputs = {"all": fitted.predict(X.copy()), "one": fitted.predict(X[:1].copy())}
        for output in outputs.values():
            assert output.shape == (len(output),)
            assert np.isfinite(output).all()
        return {name: torch.as_tensor(output) for name, output in outputs.items()}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """A sign that every patch shows: any learner sees it."""
        rng = np.random.default_rng(0)
        signs = np.sign(rng.normal(size=240))
        X = (signs[:, None, None] + 0.3 * rng.normal(size=(240, 4, 3))).reshape(240, 12)
        method = make(Trial(0, "smoke"))
        told = {"shape": (4, 3)} if "shape" in inspect.signature(method.fit).parameters else {}
        fitted = method.fit(X[:200], signs[:200], **told)
        assert (np.sign(fitted.predict(X[200:])) == signs[200:]).mean() > 0.9


class ScalingCases:
    """Inputs, classes, width, hidden layers: one of each, more classes than units, deep."""

    shapes = ((1, 2, 1, 1), (5, 4, 3, 2), (64, 10, 16, 6))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        features, classes, width, depth = shape
        example = torch.randn(6, features, generator=torch.Generator().manual_seed(1))
        outputs = {}
        for optimiser in ("sgd", "adam"):
            built = build(method, example, classes, width, depth, torch.Generator().manual_seed(0), optimiser)
            runs = train(built, [0.01, 0.1], example, torch.arange(6) % classes, [torch.arange(4)] * 3, optimiser)
            outputs |= {f"{optimiser} {name}": tensor for name, tensor in runs.networks.parameters.items()}
            outputs[optimiser] = runs.scores(0, example)
            assert torch.isfinite(outputs[optimiser]).all()
        return outputs

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Three clouds, six standard deviations apart: some rate of a wide grid learns them."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(120) % 3
        inputs = torch.randn(120, 9, generator=generator) + 6 * torch.eye(9)[labels]
        rates = [2.0**power for power in range(-8, 7)]
        for optimiser in ("sgd", "adam"):
            built = build(make(Trial(0, "laptop")), inputs, 3, 16, 2, torch.Generator().manual_seed(0), optimiser)
            batches = torch.randint(120, (100, 16), generator=generator)
            runs = train(built, rates, inputs, labels, list(batches), optimiser)
            assert np.nanmin(runs.losses) < 0.1


class ShiftCases:
    """Rows, features, classes, environments: the smallest, one feature, more features than rows, equal rows."""

    shapes = ((8, 1, 2, 2), (12, 40, 2, 2), (40, 5, 3, 4))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        rows, features, classes, environments = shape
        rng = np.random.default_rng(shape)
        labels, environment = np.arange(rows) % classes, np.arange(rows) // classes % environments
        X = rng.normal(size=(rows, features)) + labels[:, None]
        X[-1] = X[0]
        fitted = method.fit(
            X.copy(), labels.copy(), **takes(method.fit, {"environment": environment, "shape": (features,)})
        )
        asked = np.concatenate([X, rng.normal(size=(3, features)), np.full((1, features), 1e3)])
        probabilities = np.asarray((fitted or method).predict_proba(asked))
        assert probabilities.shape == (rows + 4, classes)
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        return {"probabilities": torch.tensor(probabilities)}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Clouds that lie alike in two environments: any learner tells them apart in a third."""
        rng = np.random.default_rng(0)
        labels = np.arange(240) % 2
        X = 2 * labels[:, None] - 1 + 0.8 * rng.normal(size=(240, 3))
        method = make(Trial(0, "laptop"))
        told = takes(method.fit, {"environment": np.arange(200) // 100, "shape": (3,)})
        fitted = method.fit(X[:200], labels[:200], **told) or method
        assert (np.asarray(fitted.predict_proba(X[200:])).argmax(1) == labels[200:]).mean() > 0.9


class SimilarityCases:
    """Stimuli, units of one layer and of the other: one unit, more units than stimuli, more stimuli than units."""

    shapes = ((10, 1, 1), (10, 3, 40), (25, 12, 5))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        count, units, others = shape
        generator = torch.Generator().manual_seed(0)
        X, Y = (torch.randn(count, size, generator=generator) + 1 for size in (units, others))
        X[-1], X[:, 0] = X[0], X[:, 0] * 100
        pairs = {"two": (X, Y), "turned": (Y, X), "itself": (X, X.clone())}
        found = {name: torch.tensor(method.similarity(*pair)) for name, pair in pairs.items()}
        assert all(value.shape == () and torch.isfinite(value) for value in found.values())
        return found

    def works(self, make: Callable[[Trial], Any]) -> None:
        """A layer, turned and with some noise, is more like itself than like others that know nothing of it."""
        generator = torch.Generator().manual_seed(0)
        X, *others = torch.randn(6, 60, 8, generator=generator)
        turn = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
        method = make(Trial(0, "smoke"))
        same = method.similarity(X, X @ turn + 0.2 * torch.randn(60, 8, generator=generator))
        assert same > max(method.similarity(X, other) for other in others)


class PretextCases:
    """Images, channels, height, width: a few that are tiny, oblong ones in colour, more than a batch."""

    shapes = ((2, 1, 4, 4), (12, 3, 9, 6), (140, 1, 8, 8))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        images[-1] = images[0]
        labels = torch.arange(len(images)) % 2
        encoder = Encoder(shape[1:], 2, 8, torch.Generator().manual_seed(0))
        told = takes(method.pretrain, {"labels": labels})
        method.pretrain(images.clone(), encoder, torch.Generator().manual_seed(2), 2, **told)
        with torch.no_grad():
            embeddings = torch.as_tensor(method.embed(torch.cat([images, torch.zeros(1, *shape[1:])])))
        assert embeddings.shape[0] == len(images) + 1
        assert embeddings.ndim == 2
        assert torch.isfinite(embeddings).all()
        return {"embeddings": embeddings}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Bars that lie or stand: a probe of few labels tells them apart."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(120) % 2
        images = 0.1 * torch.rand(120, 1, 8, 8, generator=generator)
        for number, (label, place) in enumerate(
            zip(labels, torch.randint(2, 6, (120,), generator=generator), strict=True)
        ):
            images[number, 0][(place, slice(None)) if label else (slice(None), place)] = 1.0
        method = make(Trial(0, "smoke"))
        told = takes(method.pretrain, {"labels": labels[:80]})
        method.pretrain(images[:80], Encoder((1, 8, 8), 8, 32, generator), generator, 10, **told)
        with torch.no_grad():
            known, asked = method.embed(images[:80]), method.embed(images[80:])
        assert ridge_probe(known, labels[:80]).accuracy(asked, labels[80:]) >= 0.95


class SteerCases:
    """Samples, and the length of sequences (0 for points), with calls of network and reward a sample: one of each, few, more."""

    shapes = ((1, 0, 1, 1), (7, 3, 2, 20), (20, 2, 1, 1), (40, 0, 5, 100))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        count, length, calls, rewards = shape
        law: Any = MixtureLaw(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 0.3, 4)
        if length and type(method).__name__ != "GradientGuidance":  # letters have no gradient
            law = ChainLaw(torch.ones(3) / 3, torch.full((3, 3), 1 / 3), length)
        model = Model(law, Budget("calls", calls * law.steps * count))
        gradient = type(method).__name__ == "GradientGuidance"
        most = max(rewards, law.steps) if gradient else rewards
        samples = method.steer(model, Reward(self.reward, Budget("calls", most * count), gradient, 1.0), count)
        assert samples.shape == (count, *law.shape)
        assert torch.isfinite(samples).all()
        assert samples.is_floating_point() or (samples.min() >= 0 and samples.max() < 3)
        return {"samples": samples.detach()}

    def reward(self, states: Tensor) -> Tensor:
        return states.float().sum(1)

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Points of two clouds: more than half are of the one that is rewarded."""
        law = MixtureLaw(torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), 0.3, 10)
        reward = Reward(lambda points: 2 * points[:, 0], Budget("calls", 100_000), True, 1.0)
        samples = make(Trial(0, "smoke")).steer(Model(law, Budget("calls", 40_000)), reward, 200)
        assert float((samples[:, 0] > 0).float().mean()) > 0.8


class MergeCases:
    """Inputs, classes, width and number of networks: the smallest, three networks, more inputs than rows held out."""

    shapes = ((2, 2, 2, 2), (5, 3, 4, 3), (40, 4, 8, 2))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        features, classes, width, count = shape
        generator = torch.Generator().manual_seed(0)
        base, *networks = (mlp((features, width, classes), generator=generator) for _ in range(count + 1))
        held_out = [(torch.randn(6, features, generator=generator), torch.arange(6) % classes) for _ in range(count)]
        merged = method.merge(base, networks, held_out)
        inputs = torch.cat([held_out[0][0], torch.full((1, features), 1e3)])
        scores = merged(inputs).detach()
        assert scores.shape == (7, classes)
        assert torch.isfinite(scores).all()
        return {"scores": scores}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Equal networks, which tell three clouds apart, are merged into one that does."""
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(60) % 3
        inputs = torch.randn(60, 6, generator=generator) + 6 * torch.eye(6)[labels]
        base = mlp((6, 16, 3), generator=generator)
        trained = copy.deepcopy(base)
        descent = torch.optim.Adam(trained.parameters(), 0.01)
        for _ in range(200):
            descent.zero_grad()
            torch.nn.functional.cross_entropy(trained(inputs), labels).backward()
            descent.step()
        networks = [copy.deepcopy(trained) for _ in range(2)]
        merged = make(Trial(0, "laptop")).merge(base, networks, [(inputs, labels)] * 2)
        assert float((merged(inputs).argmax(1) == labels).float().mean()) > 0.95


class TransportCases:
    """Points of source and target, and their dimension: the fewest, one dimension, equal points, a constant column."""

    shapes = ((3, 4, 2), (12, 7, 1), (30, 40, 5))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        count, others, dim = shape
        generator = torch.Generator().manual_seed(0)
        source, target = (torch.randn(size, dim, generator=generator) for size in (count, others))
        source[-1], target[0] = source[0], target[1]
        if dim == 5:
            source[:, 2] = target[:, 2] = 3.0
        accepted = inspect.signature(method.fit).parameters
        told = {"cost": Cost("lp", 1.5), "steps": 3}
        method.fit(source.clone(), target.clone(), **{name: value for name, value in told.items() if name in accepted})
        outputs = {"all": method.map(source.clone()), "one": method.map(source[:1].clone())}
        for asked, output in zip((source, source[:1]), outputs.values(), strict=True):
            assert output.shape == asked.shape
            assert torch.isfinite(output).all()
        return {name: output.detach() for name, output in outputs.items()}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """A shift is found: what is mapped lies nearer to the target than one deviation of it, where the source is three away."""
        generator = torch.Generator().manual_seed(0)
        source, target, asked = torch.randn(3, 120, 2, generator=generator) / 2
        method = make(Trial(0, "laptop"))
        told = {"steps": 300} if "steps" in inspect.signature(method.fit).parameters else {}
        method.fit(source, target + 1.5, **told)
        moved = method.map(asked).detach() - asked
        assert (moved - 1.5).square().sum(1).mean() < 0.15


class SampleCases:
    """Rows and the shape of one: one column, more columns than rows, a constant column and equal rows, images."""

    shapes = ((10, 1), (12, 20), (20, 3), (21, 4, 5))

    def run(self, method: Any, shape: tuple[int, ...]) -> Output:
        data = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        data[-1] = data[0]
        if len(shape) == 2 and shape[1] == 3:
            data[:, 1] = 0.0
        self.fit(method, data, 20)
        found = torch.as_tensor(method.sample(7))
        assert found.shape == (7, *shape[1:])
        assert torch.isfinite(found).all()
        assert torch.as_tensor(method.sample(1)).shape == (1, *shape[1:])
        return {"samples": found}

    def works(self, make: Callable[[Trial], Any]) -> None:
        """Points along a line: any generator has their spread along it, and little across."""
        generator = torch.Generator().manual_seed(0)
        along = torch.randn(400, 1, generator=generator)
        data = along * torch.tensor([1.0, 1.0]) + 0.2 * torch.randn(400, 2, generator=generator)
        method = make(Trial(0, "laptop"))
        self.fit(method, data.clone(), 300)
        found = torch.as_tensor(method.sample(500)).double()
        turned = found @ torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2
        spread, across = turned.std(0).tolist()
        assert 0.7 < spread < 1.4
        assert across < 0.35

    def fit(self, method: Any, data: Tensor, steps: int) -> None:
        method.fit(data, **({"steps": steps} if "steps" in inspect.signature(method.fit).parameters else {}))


CASES = {
    "recall": RecallCases(),
    "classification": ClassificationCases(),
    "regression": RegressionCases(),
    "operator": OperatorCases(),
    "stream": StreamCases(),
    "credit": CreditCases(),
    "events": EventsCases(),
    "teacher": TeacherCases(),
    "scaling": ScalingCases(),
    "shift": ShiftCases(),
    "similarity": SimilarityCases(),
    "pretext": PretextCases(),
    "merge": MergeCases(),
    "steer": SteerCases(),
    "transport": TransportCases(),
    "sample": SampleCases(),
}
TRIVIAL = {"random-guess", "unguided", "majority", "mean-field", "mean"}
ENTRIES = [
    pytest.param(entry.problem, entry.make, id=f"{entry.problem}/{entry.name}")
    for record in records().values()
    if record.status == "built"
    for entry in load_paper(record.module).entries.values()
]
BASELINES = [
    pytest.param(name, baseline.make, id=f"{name}/{baseline.name}")
    for name in names()
    for baseline in get(name).baselines()
    if baseline.extra is None
]
every_method = pytest.mark.parametrize(("problem", "make"), [*ENTRIES, *BASELINES])


def fresh(make: Callable[[Trial], Any]) -> Any:
    use_one_thread()
    trial = Trial(0, "smoke")
    seed_everything(trial)  # as a run does: some build nets from the global state
    return make(trial)


def test_every_problem_has_its_cases() -> None:
    assert set(CASES) == set(names())


@every_method
def test_it_has_the_methods_of_the_protocol(problem: str, make: Callable[[Trial], Any]) -> None:
    method = fresh(make)
    for signature in get(problem).protocol:
        assert callable(getattr(method, signature.split("(")[0]))


@every_method
def test_it_bears_small_and_odd_data_and_repeats(problem: str, make: Callable[[Trial], Any]) -> None:
    cases = CASES[problem]
    outputs = [cases.run(fresh(make), shape) for shape in cases.shapes]
    again = cases.run(fresh(make), cases.shapes[-1])  # no matter of shapes: the last, no small one, shows it
    for name, output in outputs[-1].items():
        assert torch.equal(output, again[name]), f"{name} differs between two runs with one seed"


@pytest.mark.parametrize(
    ("problem", "make"), [param for param in [*ENTRIES, *BASELINES] if param.id.split("/")[1] not in TRIVIAL]
)
def test_it_does_what_it_is_for(problem: str, make: Callable[[Trial], Any]) -> None:
    use_one_thread()
    seed_everything(Trial(0, "smoke"))
    CASES[problem].works(make)
