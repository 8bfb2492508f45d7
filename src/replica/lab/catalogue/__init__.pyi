from .records import (
    STATUSES as STATUSES,
    WINGS as WINGS,
    Record as Record,
    nearest as nearest,
    package_root as package_root,
    record as record,
    records as records,
)
from .search import find as find
from .citation import bibtex as bibtex
from .evidence import (
    VERDICTS as VERDICTS,
    count_verdicts as count_verdicts,
    evidence_path as evidence_path,
    read_evidence as read_evidence,
    recorded_rows as recorded_rows,
    shown_verdict as shown_verdict,
)
