from .comparisons import holm as holm
from .comparisons import paired_p_value as paired_p_value
from .comparisons import tied_with_best as tied_with_best
from .expectations import (
    Expectation as Expectation,
)
from .expectations import (
    above as above,
)
from .expectations import (
    below as below,
)
from .expectations import (
    between as between,
)
from .expectations import (
    within as within,
)
from .intervals import Interval as Interval
from .intervals import interval as interval
from .measures import Proportion as Proportion
from .paper import Claim as Claim
from .paper import Entry as Entry
from .paper import Paper as Paper
from .paper import Reported as Reported
from .spaces import Choice as Choice
from .spaces import Integer as Integer
from .spaces import LogUniform as LogUniform
from .spaces import Uniform as Uniform
from .trial import SCALES as SCALES
from .trial import Scale as Scale
from .trial import Trial as Trial
from .verdicts import Ruling as Ruling
from .verdicts import Verdict as Verdict
from .verdicts import judge as judge
