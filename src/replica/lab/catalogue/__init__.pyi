from .citation import bibtex as bibtex
from .evidence import (
    count_verdicts as count_verdicts,
)
from .evidence import (
    evidence_path as evidence_path,
)
from .evidence import (
    read_evidence as read_evidence,
)
from .records import (
    STATUSES as STATUSES,
)
from .records import (
    WINGS as WINGS,
)
from .records import (
    Record as Record,
)
from .records import (
    nearest as nearest,
)
from .records import (
    package_root as package_root,
)
from .records import (
    record as record,
)
from .records import (
    records as records,
)
from .search import find as find
