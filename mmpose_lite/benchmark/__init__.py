"""How long pose networks take, this package's beside MMPose's, on several engines."""

from .contestants import Contestant, choose
from .plan import Plan, Row, choose_engines
from .running import Results, run
from .tables import report, update_document, write_results

__all__ = [
    'Contestant',
    'Plan',
    'Results',
    'Row',
    'choose',
    'choose_engines',
    'report',
    'run',
    'update_document',
    'write_results',
]
