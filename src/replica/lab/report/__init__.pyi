from .comparison import Comparison as Comparison, check_report_path as check_report_path
from .claim_figures import save_claim_figures as save_claim_figures, save_result_figures as save_result_figures
from .figure_files import check_figure_path as check_figure_path, save_figure as save_figure
from .tracking import Tracker as Tracker
