"""``python -m mmpose_lite``: the same as the console command ``mmpose-lite``."""

import sys

from .cli import main

if __name__ == '__main__':
    sys.exit(main())
