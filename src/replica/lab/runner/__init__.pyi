from .compare import Results as Results, run_comparison as run_comparison
from .fingerprint import fingerprint as fingerprint, sources as sources
from .run import run as run
from .settings import Settings as Settings
from .store import Row as Row, Store as Store, default_store as default_store
from .sweeps import Sweep as Sweep
from .verify import PaperResult as PaperResult
