from .baseline import Baseline as Baseline
from .baseline import Baselines as Baselines
from .classification.problem import Classification as Classification
from .credit.problem import Credit as Credit
from .events.problem import Events as Events
from .footprint import kept_bytes as kept_bytes
from .footprint import parameter_count as parameter_count
from .operator.problem import Operator as Operator
from .problem import Dataset as Dataset
from .problem import Metric as Metric
from .problem import Option as Option
from .problem import Outcome as Outcome
from .problem import Problem as Problem
from .problem import Value as Value
from .recall.problem import Recall as Recall
from .registry import get as get
from .registry import names as names
from .stream.problem import Stream as Stream
from .stream.info import StreamInfo as StreamInfo

__all__ = [
    "Baseline",
    "Baselines",
    "Classification",
    "Credit",
    "Dataset",
    "Events",
    "Metric",
    "Operator",
    "Option",
    "Outcome",
    "Problem",
    "Recall",
    "Stream",
    "StreamInfo",
    "Value",
    "get",
    "kept_bytes",
    "names",
    "parameter_count",
]
