"""What a part asks while PyTorch traces it into a graph."""

import torch


def is_exported() -> bool:
    """Whether `torch.export` traces at present: its graph knows no values, so that a loop takes all the steps it may take.

    `torch.compile` goes back to Python instead where a value decides, and stops the loop where that does.
    """
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
