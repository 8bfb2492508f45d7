from .batches import Minibatches as Minibatches
from .batches import split_indices as split_indices
from .loop import History as History
from .loop import fit as fit
from .loop import mean_loss as mean_loss
from .nets import conv_net as conv_net
from .nets import mlp as mlp
from .transformer import CausalTransformer as CausalTransformer

__all__ = ["CausalTransformer", "History", "Minibatches", "conv_net", "fit", "mean_loss", "mlp", "split_indices"]
