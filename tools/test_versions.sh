#!/usr/bin/env bash
# Runs the fast tests with the oldest and with the newest torch, mmengine and mmcv that
# the package supports (tests/versions/), each in an environment of its own beside
# .venv. Arguments after the set's name go to pytest:
#
#   bash tools/test_versions.sh                     both
#   bash tools/test_versions.sh oldest -k converter
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
sets=(oldest newest)
if (($#)); then
    [[ -f tests/versions/$1.txt ]] || {
        printf 'unknown set of versions %s; there are: %s\n' "$1" "${sets[*]}" >&2
        exit 2
    }
    sets=("$1")
    shift
fi
export OMP_NUM_THREADS=1
for name in "${sets[@]}"; do
    MMPOSE_LITE_VENV=.venv-$name MMPOSE_LITE_VERSIONS=tests/versions/$name.txt \
        bash tools/setup.sh --dev
    ".venv-$name/bin/python" -m pytest -n 2 --dist worksteal -m 'not slow' "$@"
done
