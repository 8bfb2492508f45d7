from .batches import Minibatches as Minibatches
from .batches import split_indices as split_indices
from .curvature import GaussNewton as GaussNewton
from .curvature import Hessian as Hessian
from .curvature import sharpness as sharpness
from .estimators import EPOCHS as EPOCHS
from .estimators import EventClassifier as EventClassifier
from .estimators import GridRegressor as GridRegressor
from .estimators import NetworkEstimator as NetworkEstimator
from .estimators import multiply_accumulates as multiply_accumulates
from .estimators import rate_share as rate_share
from .estimators import relative_l2 as relative_l2
from .lanczos import Eigenpairs as Eigenpairs
from .lanczos import top_eigenvalues as top_eigenvalues
from .full_batch import full_batch_descent as full_batch_descent
from .language import CharacterText as CharacterText
from .language import bits_per_token as bits_per_token
from .language import next_token_accuracy as next_token_accuracy
from .language import next_token_loss as next_token_loss
from .loop import History as History
from .loop import fit as fit
from .loop import mean_loss as mean_loss
from .nets import conv_net as conv_net
from .nets import mlp as mlp
from .probe import LinearProbe as LinearProbe
from .probe import effective_rank as effective_rank
from .probe import label_budgets as label_budgets
from .probe import logistic_probe as logistic_probe
from .probe import neighbour_accuracy as neighbour_accuracy
from .probe import ridge_probe as ridge_probe
from .rate_sweep import RateCurves as RateCurves
from .rate_sweep import sweep_rates as sweep_rates
from .replicas import ReplicaMinibatches as ReplicaMinibatches
from .replicas import Replicas as Replicas
from .replicas import train_replicas as train_replicas
from .sample_distances import energy_distance as energy_distance
from .sample_distances import neighbour_test as neighbour_test
from .sample_distances import novelty as novelty
from .sample_distances import precision_and_recall as precision_and_recall
from .sample_distances import sliced_wasserstein as sliced_wasserstein
from .small_net import SmallNet as SmallNet
from .small_net import as_images as as_images
from .small_net import image_shape as image_shape
from .small_net import small_net as small_net
from .transformer import CausalTransformer as CausalTransformer
from .views import Views as Views

__all__ = [
    "EPOCHS",
    "CausalTransformer",
    "CharacterText",
    "Eigenpairs",
    "EventClassifier",
    "GaussNewton",
    "GridRegressor",
    "Hessian",
    "History",
    "LinearProbe",
    "Minibatches",
    "NetworkEstimator",
    "RateCurves",
    "ReplicaMinibatches",
    "Replicas",
    "SmallNet",
    "Views",
    "as_images",
    "bits_per_token",
    "conv_net",
    "effective_rank",
    "energy_distance",
    "fit",
    "full_batch_descent",
    "image_shape",
    "label_budgets",
    "logistic_probe",
    "mean_loss",
    "mlp",
    "multiply_accumulates",
    "neighbour_accuracy",
    "neighbour_test",
    "next_token_loss",
    "novelty",
    "precision_and_recall",
    "rate_share",
    "relative_l2",
    "ridge_probe",
    "sharpness",
    "sliced_wasserstein",
    "small_net",
    "split_indices",
    "sweep_rates",
    "top_eigenvalues",
    "train_replicas",
]
