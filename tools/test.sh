#!/usr/bin/env bash
# Sets up .venv (see tools/setup.sh) and runs lint, format and type checks, then all
# tests. The first failure ends it. Arguments go to pytest:
#
#   bash tools/test.sh                    everything
#   bash tools/test.sh -m 'not slow'      what takes minutes at most
#   bash tools/test.sh tests/test_compat.py -n 0
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup.sh --dev
# One thread per process: the networks are many small operators, and threads that wait
# for each other on busy cores make them several times slower.
export OMP_NUM_THREADS=1
bin=.venv/bin

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
# Two processes; whoever is done takes over what the other has left.
"$bin/python" -m pytest -n 2 --dist worksteal --durations 10 "$@"
