"""Old name of ``mmpose-lite compare``; needs no installation."""
import sys; from pathlib import Path  # noqa: E401, E702, I001
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mmpose_lite.cli import main  # noqa: E402
sys.exit(main(['compare', *sys.argv[1:]]))
