#!/usr/bin/env bash
# Runs the fast tests with other versions (tests/versions/), each row in an environment
# of its own beside .venv, and AP of the weights named in AP_WEIGHTS, if any. A Python
# that is not on the PATH is looked for among those of pyenv and uv; without it the row
# is left out. Arguments after the rows' names go to pytest:
#
#   bash tools/test_versions.sh                       all rows
#   bash tools/test_versions.sh newest opencv5 -k converter
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Row, Python, versions that go before those of requirements.txt.
rows='oldest 3.10 oldest
numpy1 3.11 numpy1
pinned 3.12 -
newest 3.12 newest
python3.13 3.13 -
opencv5 3.12 opencv5'
config=configs/litehrnet/td-hm_wider-naive-litehrnet-18_dark_8xb64-210e_coco-256x192.py
chosen=()
while (($#)) && grep -q "^$1 " <<<"$rows"; do chosen+=("$1") && shift; done
if (($#)) && [[ $1 != -* && ! -e ${1%%::*} ]]; then
    printf 'unknown row %s; there are:\n%s\n' "$1" "$rows" >&2
    exit 2
fi
find_python() {
    local found
    for found in "python$1" ~/.pyenv/versions/"$1".*/bin/python "$(uv python find "$1" 2>/dev/null)"; do
        "$found" -c 'import venv' 2>/dev/null && command -v "$found" && return
    done
}
export OMP_NUM_THREADS=1
results=() failed=0
while read -r name version file; do
    [[ -z ${chosen[*]} || " ${chosen[*]} " == *" $name "* ]] || continue
    python=$(find_python "$version")
    if [[ -z $python ]]; then
        results+=("$name: left out, Python $version is missing") && continue
    fi
    venv=.venv-$name
    log=$venv/tests.log
    [[ $file == - ]] && unset MMPOSE_LITE_VERSIONS || export MMPOSE_LITE_VERSIONS=tests/versions/$file.txt
    if ! PYTHON=$python MMPOSE_LITE_VENV=$venv bash tools/setup.sh --dev; then
        results+=("$name: set-up failed") failed=1 && continue
    fi
    "$venv/bin/python" -m pytest -n 2 --dist worksteal -m 'not slow' "$@" | tee "$log"
    ((PIPESTATUS[0] == 0)) || failed=1
    results+=("$name: $(tail -n 1 "$log" | tr -d '=')")
    [[ -n ${AP_WEIGHTS:-} ]] || continue
    "$venv/bin/mim" test mmpose "$config" --checkpoint "$AP_WEIGHTS" --gpus 0 --work-dir "$venv/ap" >"$venv/ap.log" 2>&1
    results[-1]+=" $(grep -o 'coco/AP: [0-9.]*' "$venv/ap.log" | tail -n 1)"
done <<<"$rows"
printf '\n%s\n' "${results[@]}"
exit $failed
