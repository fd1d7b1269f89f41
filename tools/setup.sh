#!/usr/bin/env bash
# Sets up a complete working environment in .venv at the project's root. Nothing is
# compiled.
#
#   bash tools/setup.sh          what training, evaluation, export and engines need
#   bash tools/setup.sh --dev    also what tools/test.sh runs
#
# A second run ends at once; an interrupted one is continued by the same command. It
# may be steered by environment variables, besides pip's own (PIP_FIND_LINKS, ...):
#
#   PYTHON           the Python to use (default: the newest of 3.10 to 3.13)
#   TORCH_BUILD      'default' takes what pip gives (on Linux a CUDA build, unless pip is
#                    told of another); 'cpu' insists on the CPU build
#   TORCH_INDEX_URL  package index to take torch and torchvision from
#   TORCH_SPEC       your own torch and its partner instead of the proven ones, such as
#                    'torch==2.12.1 torchvision==0.27.1'
#   INSTALLER        'pip' or 'uv' (default: uv where it is installed and pip is not
#                    configured, for uv does not read pip's settings)
#   MMPOSE_LITE_VENV      another folder than .venv
#   MMPOSE_LITE_VERSIONS  file with pins that go before those of requirements.txt, such
#                         as tests/versions/oldest.txt
set -Eeuo pipefail
trap 'printf "\nset-up failed: %s, line %d: %s\n" "$0" "$LINENO" "$BASH_COMMAND" >&2' ERR

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=$(realpath -m "${MMPOSE_LITE_VENV:-$ROOT/.venv}")
PY=$VENV/bin/python
LOG=$VENV/setup.log
TORCH_BUILD=${TORCH_BUILD:-default}
TORCH_SPEC=${TORCH_SPEC:-} WISHED=${TORCH_SPEC:-}
VERSIONS=${MMPOSE_LITE_VERSIONS:+$(realpath -m "$MMPOSE_LITE_VERSIONS")}
PINS_3_10=$ROOT/tests/versions/python3.10.txt
DEV=no CHILD='' STARTED=$SECONDS
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX # which lead out of .venv
export PYTHONNOUSERSITE=1 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*"; }
die() { printf '\nset-up failed: %s\n' "$1" >&2; (($# == 1)) || printf '  %s\n' "${@:2}" >&2; exit 1; }

for argument in "$@"; do
    case $argument in
        --dev) DEV=yes ;;
        -h | --help) sed -n '2,/^set -E/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit 0 ;;
        *) die "unknown argument '$argument'" 'allowed: --dev, --help' ;;
    esac
done
[[ -z $VERSIONS || -f $VERSIONS ]] || die "MMPOSE_LITE_VERSIONS=$VERSIONS is no file"
[[ $TORCH_BUILD =~ ^(default|cpu)$ ]] || die "TORCH_BUILD=$TORCH_BUILD" "allowed: 'default', 'cpu'"
[[ ${INSTALLER:-pip} =~ ^(pip|uv)$ ]] || die "INSTALLER=$INSTALLER" "allowed: 'pip', 'uv'"

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# What the environment was made from: when any of it changes, all steps run again.
fingerprint() {
    {
        cat "$ROOT/tools/setup.sh" "$ROOT/requirements.txt" "$ROOT/setup.py" "${VERSIONS:-$PINS_3_10}"
        printf '%s\n' "$ROOT" "$TORCH_BUILD" "$WISHED" "$(version_of "$PY" || true)"
    } | sha256sum | cut -d' ' -f1
}
done_already() {
    local stamp=$VENV/.setup-runtime
    [[ $DEV == no ]] || stamp=$VENV/.setup-dev
    [[ -x $PY && -f $stamp && $(<"$stamp") == "$(fingerprint)" ]] || return 1
    # Another Python than before may have been asked for by name.
    [[ -z ${PYTHON:-} ]] || [[ $(version_of "$PYTHON") == "$(version_of "$PY")" ]]
}

find_python() {
    local candidate path version seen=()
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3.10 python3 python}; do
        path=$(command -v "$candidate" || true)
        version=$([[ -z $path ]] || version_of "$path" || true)
        seen+=("$candidate ${version:+is Python $version}${version:-does not run}")
        [[ $version =~ ^3\.1[0-3]$ ]] || continue
        "$path" -c 'import ensurepip, venv' 2>/dev/null ||
            { seen+=("$path has no module venv: Debian and Ubuntu keep it in python$version-venv") && continue; }
        printf '%s\n' "$path" && return
    done
    die 'Python 3.10 to 3.13 is needed, and none was found' "${seen[@]}" \
        'install one of them, or name it: PYTHON=/path/to/python3.12 bash tools/setup.sh'
}

make_venv() {
    local python
    if [[ -x $PY ]] && "$PY" -c 'import pip' 2>/dev/null; then
        [[ -n ${PYTHON:-} && $(version_of "$PYTHON") != "$(version_of "$PY")" ]] || return 0
    fi
    python=$(find_python) || exit 1
    [[ ! -e $VENV/pyvenv.cfg ]] || say "rebuilding $VENV: it is incomplete or of another Python"
    "$python" -m venv --clear "$VENV" || die "$python could not make $VENV"
}

# step TITLE COMMAND...: output goes to the log, a sign of life to the terminal.
step() {
    local title=$1 shown=$SECONDS status=0
    shift
    say "$title ..."
    printf '\n==== %s: %s\n' "$title" "$*" >>"$LOG"
    # A process group of its own, so that an interruption ends all of it.
    set -m
    "$@" >>"$LOG" 2>&1 9<&- &
    CHILD=$!
    set +m
    while kill -0 "$CHILD" 2>/dev/null; do
        sleep 0.2
        ((SECONDS - shown < 15)) || { shown=$SECONDS && say "  $((SECONDS - STARTED)) s since the start"; }
    done
    wait "$CHILD" || status=$?
    CHILD=
    ((status == 0)) || failed "$title"
}

failed() {
    local hints=("the last lines of $LOG:" '') last
    mapfile -t -O 2 hints < <(tail -n 12 "$LOG")
    last=$(sed -n "\|^==== $1|,\$p" "$LOG")
    if grep -q 'No space left on device' <<<"$last"; then
        hints+=('' "the disk is full: $VENV has $(free_mb "$VENV") MB left, ${TMPDIR:-/tmp} $(free_mb "${TMPDIR:-/tmp}") MB"
            'a roomier folder for temporary files can be named in TMPDIR; TORCH_BUILD=cpu needs a third')
    elif grep -qE 'NewConnectionError|name resolution|Network is unreachable|dns error|Connection (refused|timed out)|from versions: none' <<<"$last"; then
        hints+=('' 'the package index cannot be reached: check the network or proxy, or name a folder'
            'with the wheels in PIP_FIND_LINKS and set PIP_NO_INDEX=1')
    elif [[ $1 == torch && $TORCH_BUILD == cpu ]]; then
        hints+=('' 'TORCH_INDEX_URL can name an index that has CPU builds (see the PyTorch site)')
    fi
    die "step '$1'" "${hints[@]}" '' "the same command tries again; after 'rm -r $VENV' it starts afresh"
}
interrupted() {
    trap - INT TERM
    [[ -z $CHILD ]] || kill -TERM -- "-$CHILD" 2>/dev/null || true
    printf '\nset-up interrupted; the same command goes on from here\n' >&2
    exit 130
}
trap interrupted INT TERM
free_mb() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

# Wheels only; the list is complete, so nothing else is to be installed with them.
install() {
    local tool=("$PY" -m pip install)
    [[ $INSTALLER == pip ]] || tool=(uv pip install --python "$PY")
    step "$1" "${tool[@]}" --only-binary :all: "${@:2}"
}

# Those of requirements.txt, but what VERSIONS or TORCH_SPEC replace.
write_pins() {
    local replaced=torch,torchvision own=${VERSIONS:-/dev/null} around= unwanted=opencv-python
    [[ -n $VERSIONS || $(version_of "$PY") != 3.10 ]] || own=$PINS_3_10
    replaced+=$(grep -oE '^[A-Za-z][A-Za-z0-9_-]*' "$own" | sed 's/^/,/' | tr -d '\n' || true)
    # The pins around torch fit the proven torch only.
    [[ $own == /dev/null && -z $TORCH_SPEC ]] || around='/^# --- torch/,/^# --- OpenMMLab/d'
    [[ -n $TORCH_SPEC ]] || TORCH_SPEC=$(grep -hE '^torch(vision)?==' "$own" "$ROOT/requirements.txt" | head -n 2 | xargs)
    [[ " $TORCH_SPEC" =~ \ torch([^v]|$) && $TORCH_SPEC == *torchvision* ]] ||
        die "TORCH_SPEC='$TORCH_SPEC' must name torch and the torchvision that fits"
    [[ $TORCH_BUILD == default ]] || TORCH_SPEC=$(sed -E 's/(\btorch==[0-9.]+)( |$)/\1+cpu\2/' <<<"$TORCH_SPEC")
    # OpenCV's usual wheel draws windows and wants libGL, which servers often lack.
    ! "$PY" -c 'import ctypes; ctypes.CDLL("libGL.so.1")' 2>/dev/null || unwanted+=-headless
    sed "/^# --- Tests/,\$d; $around" "$ROOT/requirements.txt" | grep -vE "^(${replaced//,/|})==" | cat - "$own" |
        grep -vE "^(torch(vision)?|$unwanted)==" >"$VENV/runtime.txt"
    sed -n "/^# --- Tests/,\$p" "$ROOT/requirements.txt" | grep -vE "^(${replaced//,/|})==" >"$VENV/dev.txt"
}

# Compiled for another torch, it is installed but does not load.
mmcv_works() {
    "$PY" -m pip show -q mmcv 2>/dev/null || return 1
    "$PY" -c 'import torch, mmcv._ext' 2>/dev/null && return
    say "mmcv's operators do not load with this torch: mmcv-lite takes its place"
    # Both, because they lie in one folder.
    "$PY" -m pip uninstall -q -y mmcv mmcv-lite 2>/dev/null && return 1
}

main() {
    ! done_already || return 0
    mkdir -p "$VENV" || die "$VENV cannot be made"
    exec 9<"$VENV" # two set-ups at a time would spoil each other's work
    flock -n 9 || { say 'waiting for another set-up to end ...' && flock 9; }
    ! done_already || return 0
    [[ -f $VENV/.setup-runtime || $(free_mb "$VENV") -gt 4000 ]] ||
        die "the disk is too full: $VENV has $(free_mb "$VENV") MB left, about 4000 MB are needed, 12000 for CUDA"
    say "setting up $VENV" && make_venv
    printf '%s\n' "$(date) tools/setup.sh $*" >"$LOG"
    if [[ -z ${INSTALLER:-} ]]; then
        INSTALLER=pip
        ! command -v uv >/dev/null || [[ -n $("$PY" -m pip config list) ]] || INSTALLER=uv
    fi
    write_pins
    install torch --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} $TORCH_SPEC
    # Now satisfied by name; this adds what it needs, from the usual index.
    install "torch's needs" -c "$VENV/runtime.txt" torch
    ! mmcv_works || sed -i '/^mmcv-lite==/d' "$VENV/runtime.txt" # it has its own operators
    install 'all else' --no-deps -r "$VENV/runtime.txt"
    [[ $DEV == no ]] || install 'tests and lint' --no-deps -r "$VENV/dev.txt"
    step 'mmpose_lite' "$PY" -m pip install --no-deps --no-build-isolation -e "$ROOT"
    step 'self-check' "$PY" -W ignore -c 'if True:
        import mmpose_lite, mmpose.apis, mmdet, mim, xtcocotools.coco
        from mmcv.ops import nms'
    fingerprint >"$VENV/.setup-runtime"
    [[ $DEV == no ]] || fingerprint >"$VENV/.setup-dev"
    say "set up in $((SECONDS - STARTED)) s; details: $LOG, '$VENV/bin/mmpose-lite env'"
}
main "$@"
