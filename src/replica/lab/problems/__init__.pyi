from .baseline import Baseline as Baseline
from .baseline import Baselines as Baselines
from .classification.problem import Classification as Classification
from .credit.problem import Credit as Credit
from .events.problem import Events as Events
from .fit_predict import FitPredict as FitPredict
from .fit_predict import Sample as Sample
from .footprint import kept_bytes as kept_bytes
from .footprint import parameter_count as parameter_count
from .labelled_rows import LabelledRows as LabelledRows
from .merge.problem import Merge as Merge
from .operator.problem import Operator as Operator
from .pretext.problem import Pretext as Pretext
from .problem import Dataset as Dataset
from .problem import Metric as Metric
from .problem import Option as Option
from .problem import Outcome as Outcome
from .problem import Problem as Problem
from .problem import Value as Value
from .recall.problem import Recall as Recall
from .registry import get as get
from .registry import names as names
from .regression.problem import Regression as Regression
from .shift.problem import Shift as Shift
from .similarity.problem import Similarity as Similarity
from .steer.problem import Steer as Steer
from .step_by_step import Clock as Clock
from .step_by_step import StepByStep as StepByStep
from .sample.problem import Sampling as Sampling
from .scaling.problem import Scaling as Scaling
from .store_recall import Recalled as Recalled
from .store_recall import StoreRecall as StoreRecall
from .stream.info import StreamInfo as StreamInfo
from .stream.problem import Stream as Stream
from .teacher.problem import Teacher as Teacher
from .transport.problem import Transport as Transport

__all__ = [
    "Baseline",
    "Baselines",
    "Classification",
    "Clock",
    "Credit",
    "Dataset",
    "Events",
    "FitPredict",
    "LabelledRows",
    "Merge",
    "Metric",
    "Operator",
    "Option",
    "Outcome",
    "Pretext",
    "Problem",
    "Recall",
    "Recalled",
    "Regression",
    "Sample",
    "Sampling",
    "Scaling",
    "Shift",
    "Similarity",
    "Steer",
    "StepByStep",
    "StoreRecall",
    "Stream",
    "StreamInfo",
    "Teacher",
    "Transport",
    "Value",
    "get",
    "kept_bytes",
    "names",
    "parameter_count",
]
