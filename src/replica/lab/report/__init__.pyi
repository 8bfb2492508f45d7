from .claim_figures import (
    check_figure_path as check_figure_path,
)
from .claim_figures import (
    save_claim_figures as save_claim_figures,
)
from .claim_figures import (
    save_result_figures as save_result_figures,
)
from .comparison import Comparison as Comparison
from .comparison import check_report_path as check_report_path
from .comparison import compare as compare
