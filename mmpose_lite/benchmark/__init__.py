"""How long pose networks take, this package's beside MMPose's, on several engines.

Who takes part is in :mod:`.contestants`, what is measured of them in :mod:`.rows`, how
in :mod:`.running`, and what comes of it in :mod:`.tables` and :mod:`.picture`.
"""

from .contestants import Contestant, choose
from .rows import Plan, Results, Row, choose_engines
from .running import run
from .tables import report, update_document, write_results

__all__ = [
    'Contestant', 'Plan', 'Results', 'Row', 'choose', 'choose_engines', 'report', 'run',
    'update_document', 'write_results',
]  # fmt: skip
