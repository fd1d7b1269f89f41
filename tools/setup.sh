#!/usr/bin/env bash
# Sets up a complete working environment in .venv at the project's root.
#
#   bash tools/setup.sh          what training, evaluation and export need
#   bash tools/setup.sh --dev    also what tools/test.sh runs
#
# A second run starts at once; an interrupted one goes on where it stopped. It may be
# steered by environment variables, besides pip's own (PIP_FIND_LINKS, ...):
#
#   PYTHON           the Python to use (default: a Python 3.11 on PATH, the proven one)
#   TORCH_BUILD      'default' takes what pip gives (on Linux a CUDA build, unless pip is
#                    told of another); 'cpu' insists on the CPU build
#   TORCH_INDEX_URL  package index to take torch and torchvision from
#   TORCH_SPEC       your own torch and its partner instead of the proven ones, such as
#                    'torch==2.12.1 torchvision==0.27.1'
#   MAX_JOBS         compilers at a time, if mmcv must be compiled
#   MMPOSE_LITE_VENV      another folder than .venv
#   MMPOSE_LITE_VERSIONS  file with pins that go before those of requirements.txt, such
#                         as tests/versions/oldest.txt
set -Eeuo pipefail
# A command that nobody expected to fail shall not end the set-up without a word.
trap 'printf "\nset-up failed: %s, line %d: %s\n" "$0" "$LINENO" "$BASH_COMMAND" >&2' ERR

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV=$(realpath -m "${MMPOSE_LITE_VENV:-$ROOT/.venv}")
PY=$VENV/bin/python
LOG=$VENV/setup.log
TORCH_BUILD=${TORCH_BUILD:-default}
TORCH_SPEC=${TORCH_SPEC:-}
VERSIONS=${MMPOSE_LITE_VERSIONS:+$(realpath -m "$MMPOSE_LITE_VERSIONS")}
TORCH_INDEX_URL=${TORCH_INDEX_URL:-}
DEV=no
CHILD=
STARTED=$SECONDS
# A stranger's settings must not lead pip or Python out of .venv.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX
export PYTHONNOUSERSITE=1 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*"; }
die() {
    printf '\nset-up failed: %s\n' "$1" >&2
    shift
    (($# == 0)) || printf '  %s\n' "$@" >&2
    exit 1
}
usage() { sed -n '2,/^set -E/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

for argument in "$@"; do
    case $argument in
        --dev) DEV=yes ;;
        -h | --help) usage && exit 0 ;;
        *) die "unknown argument '$argument'" 'allowed: --dev, --help' ;;
    esac
done
[[ -z $VERSIONS || -f $VERSIONS ]] || die "MMPOSE_LITE_VERSIONS=$VERSIONS is no file"
# Another torch needs other libraries than the pins around the proven one.
[[ -z $VERSIONS || -n $TORCH_SPEC ]] ||
    TORCH_SPEC=$(grep -E '^torch(vision)?==' "$VERSIONS" | xargs)
case $TORCH_BUILD in
    default | cpu) ;;
    *) die "TORCH_BUILD is '$TORCH_BUILD'" "allowed: 'default', 'cpu'" ;;
esac

# --- Nothing to do? ---------------------------------------------------------------

# What the environment was made from: when any of it changes, the stages run again.
fingerprint() {
    {
        cat "$ROOT/tools/setup.sh" "$ROOT/requirements.txt" "$ROOT/setup.py" \
            ${VERSIONS:+"$VERSIONS"}
        printf '%s\n' "$ROOT" "$TORCH_BUILD" "$TORCH_SPEC"
        grep '^version' "$VENV/pyvenv.cfg" 2>/dev/null || true
    } | sha256sum | cut -d' ' -f1
}
done_already() {
    local stamp=$VENV/.setup-runtime
    [[ $DEV == no ]] || stamp=$VENV/.setup-dev
    [[ -x $PY && -f $stamp && $(<"$stamp") == "$(fingerprint)" ]] || return 1
    # Another Python than before was asked for by name.
    [[ -z ${PYTHON:-} ]] || [[ $(version_of "$PYTHON") == "$(version_of "$PY")" ]]
}

# --- Python -------------------------------------------------------------------------

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Prints the path of the Python to use; says why there is none.
find_python() {
    local candidate path version seen=() without_venv=
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
        path=$(command -v "$candidate" || true)
        version=$([[ -z $path ]] || version_of "$path" || true)
        if [[ -z $version ]]; then
            [[ $candidate != "${PYTHON:-}" ]] || die "PYTHON=$PYTHON does not run"
            continue
        fi
        seen+=("$path is Python $version")
        if [[ $candidate == "${PYTHON:-}" ]]; then
            case $version in
                3.11) ;;
                3.10 | 3.12) say "note: Python $version was never tried; 3.11 is proven" >&2 ;;
                *) die "PYTHON=$PYTHON is Python $version" 'Python 3.11 is needed' ;;
            esac
        elif [[ $version != 3.11 ]]; then
            continue
        fi
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            printf '%s\n' "$path"
            return
        fi
        without_venv=$path
        [[ $candidate != "${PYTHON:-}" ]] || break
    done
    if [[ -n $without_venv ]]; then
        die "$without_venv has no module venv or ensurepip" \
            'Debian and Ubuntu keep it in a package of its own: python3.11-venv'
    fi
    die 'no Python 3.11 was found on PATH' "${seen[@]:-no Python at all}" \
        'install Python 3.11, or name one: PYTHON=/path/to/python3.11 bash tools/setup.sh'
}

make_venv() {
    local python
    if [[ -x $PY ]] && "$PY" -c 'import pip' 2>/dev/null; then
        if [[ -z ${PYTHON:-} || $(version_of "$PYTHON") == "$(version_of "$PY")" ]]; then
            return
        fi
    fi
    python=$(find_python) || exit 1
    [[ ! -e $VENV/pyvenv.cfg ]] || say "rebuilding $VENV: it is incomplete or of another Python"
    # The log lies inside, so it starts after this.
    "$python" -m venv --clear "$VENV" || die "$python could not make $VENV"
}

# --- Running a stage ------------------------------------------------------------------

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# progress SECONDS OFFSET: how far ninja is, from its last '[n/m]' in the stage's log.
progress() {
    local ninja done total
    ninja=$(tail -c "+$2" "$LOG" | tail -c 100000 | grep -aoE '^\[[0-9]+/[0-9]+\]' | tail -n 1 || true)
    [[ $ninja =~ ([0-9]+)/([0-9]+) ]] || return 0
    done=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
    printf ', %d of %d files compiled, about %s left' "$done" "$total" \
        "$(clock $(($1 * (total - done) / (done > 0 ? done : 1))))"
}

# run TITLE COMMAND...: in the background, output to the log, a sign of life meanwhile.
run() {
    local title=$1 start=$SECONDS shown=$SECONDS spent offset status=0
    shift
    printf '\n==== %s: %s\n' "$title" "$*" >>"$LOG"
    offset=$(stat -c %s "$LOG")
    [[ -t 1 ]] || say "$title ..."
    # Its own process group, so that an interruption ends all of it.
    set -m
    "$@" >>"$LOG" 2>&1 9<&- &
    CHILD=$!
    set +m
    while kill -0 "$CHILD" 2>/dev/null; do
        sleep 0.2
        spent=$((SECONDS - start))
        if [[ -t 1 ]]; then
            ((SECONDS == shown)) ||
                printf '\r\033[K%s %s%s' "$title" "$(clock $spent)" "$(progress $spent "$offset")"
            shown=$SECONDS
        elif ((SECONDS - shown >= 15)); then
            say "  $(clock $spent)$(progress $spent "$offset")"
            shown=$SECONDS
        fi
    done
    wait "$CHILD" || status=$?
    CHILD=
    spent=$((SECONDS - start))
    [[ ! -t 1 ]] || printf '\r\033[K%s done in %s\n' "$title" "$(clock $spent)"
    return $status
}

# must TITLE COMMAND...: as run, but a failure ends the set-up.
must() { run "$@" || failed "$1"; }

failed() {
    local hints=("the last lines of $LOG:" '')
    mapfile -t -O 2 hints < <(tail -n 25 "$LOG")
    if tail -n 200 "$LOG" | grep -q 'No space left on device'; then
        hints+=('' "the disk is full: $ROOT has $(free_mb "$ROOT") MB left,"
            "${TMPDIR:-/tmp} $(free_mb "${TMPDIR:-/tmp}") MB;"
            'a roomier folder for temporary files can be named in TMPDIR')
    fi
    hints+=('' "the same command tries again; after 'rm -r $VENV' it starts afresh")
    die "stage '$1'" "${hints[@]}"
}

interrupted() {
    trap - INT TERM
    [[ -z $CHILD ]] || kill -TERM -- "-$CHILD" 2>/dev/null || true
    printf '\nset-up interrupted; the same command goes on from here\n' >&2
    exit 130
}
trap interrupted INT TERM

# --- The stages -------------------------------------------------------------------------

pip() { "$PY" -m pip "$@"; }
# --no-deps everywhere but where said: the list is complete, and pip shall not "mend" it.
bare() { "$PY" -m pip install --no-deps -c "$CONSTRAINTS" "$@"; }

free_mb() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

# The proven versions, but those that VERSIONS or TORCH_SPEC give others for.
write_constraints() {
    local names=
    CONSTRAINTS=$VENV/constraints.txt
    [[ -z $VERSIONS ]] || names=$(grep -oE '^[A-Za-z][A-Za-z0-9_-]*' "$VERSIONS" | xargs)
    [[ -z $TORCH_SPEC ]] || names+=' torch torchvision'
    grep -vE "^(${names// /|})==" "$ROOT/requirements.txt" >"$CONSTRAINTS"
    [[ -z $VERSIONS ]] ||
        grep -vE '^torch(vision)?==' "$VERSIONS" >>"$CONSTRAINTS"
}
pin() { grep -E "^$1==" "$CONSTRAINTS"; }

# The arguments that make pip choose torch as wished.
torch_arguments() {
    FROM=()
    if [[ -z $TORCH_SPEC ]]; then
        TORCH=("$(pin torch)") TORCHVISION=("$(pin torchvision)")
        [[ $TORCH_BUILD == default ]] || TORCH=("$(pin torch)+cpu")
    else
        TORCH=() TORCHVISION=()
        local spec
        for spec in $TORCH_SPEC; do
            case $spec in
                torchvision*) TORCHVISION+=("$spec") ;;
                *) TORCH+=("$spec") ;;
            esac
        done
        ((${#TORCH[@]})) && ((${#TORCHVISION[@]})) ||
            die "TORCH_SPEC='$TORCH_SPEC' must name torch and the torchvision that fits"
    fi
    [[ -z $TORCH_INDEX_URL ]] || FROM=(--index-url "$TORCH_INDEX_URL")
}

# Asks pip which torch it would take, and whether the disk is large enough for it.
check_disk() {
    local need=1000 have report=$VENV/torch.json
    if ! "$PY" -c 'import torch' 2>/dev/null; then
        run 'finding torch' "$PY" -m pip install --dry-run --ignore-installed --no-deps \
            --report "$report" "${FROM[@]}" "${TORCH[@]}" || no_torch
        # Measured: a CPU environment takes 1.8 GB, pip's downloads on top. CUDA's
        # libraries take about 7 GB more.
        need=4000
        grep -q '"version": "[^"]*+cpu"' "$report" || need=12000
    fi
    have=$(free_mb "$VENV")
    ((have >= need)) ||
        die "the disk is too full: $ROOT has $have MB left, about $need MB are needed" \
            'a CPU build of torch needs a third of a CUDA build: TORCH_BUILD=cpu'
}
no_torch() {
    [[ $TORCH_BUILD == cpu ]] || failed 'finding torch'
    die "pip knows no ${TORCH[*]}" \
        'name a package index that has CPU builds in TORCH_INDEX_URL (see the PyTorch' \
        'site, "Start locally"), or a folder with the wheel in PIP_FIND_LINKS'
}

install_torch() {
    local constraints=(-c "$CONSTRAINTS")
    # The pins around torch fit the proven torch only.
    [[ -z $TORCH_SPEC ]] || constraints=()
    must 'torch' pip install --no-deps "${FROM[@]}" "${TORCH[@]}"
    # Now satisfied by name; this adds what it needs, from the usual index.
    must "torch's needs" pip install "${constraints[@]}" torch
    # Without its dependencies: they would bring a CUDA torch beside a CPU one.
    must 'torchvision' pip install --no-deps "${FROM[@]}" "${TORCHVISION[@]}"
}

LIBRARIES=(
    addict certifi charset-normalizer click colorama contourpy cycler Cython fonttools
    idna json-tricks kiwisolver Markdown markdown-it-py matplotlib mdurl model-index
    munkres numpy opencv-python ordered-set packaging pandas pillow platformdirs
    pycocotools Pygments pyparsing python-dateutil pytz PyYAML requests rich scipy shapely
    six tabulate termcolor terminaltables tqdm tzdata urllib3 xtcocotools yapf
)
DEV_TOOLS=(mypy pytest pytest-timeout pytest-xdist ruff safetensors tensorboard)
DEV_TOOLS+=(onnx onnxruntime openvino)  # engines that exports are compared on

install_libraries() {
    local libraries=("${LIBRARIES[@]}") headless
    # OpenCV's usual wheel draws windows and wants libGL, which servers often lack.
    headless=$("$PY" -m pip list 2>/dev/null | grep -c '^opencv-python-headless ' || true)
    if ((headless)); then
        libraries=("${libraries[@]/#opencv-python/opencv-python-headless}")
    fi
    must 'libraries' bare "${libraries[@]}"
    "$PY" -c 'import cv2' >>"$LOG" 2>&1 && return
    say 'OpenCV does not load (mostly: libGL is missing); taking its headless build'
    must 'opencv' pip uninstall -y opencv-python
    must 'opencv-headless' bare --force-reinstall opencv-python-headless
    "$PY" -c 'import cv2' >>"$LOG" 2>&1 || failed 'loading OpenCV'
}

# Compiled for another torch it is installed, but does not load.
mmcv_works() {
    "$PY" - "$(pin mmcv)" >>"$LOG" 2>&1 <<'PYTHON'
import sys

import mmcv
import torch  # noqa: F401  (its libraries must be loaded before mmcv's)
from mmcv.utils import ext_loader

assert f'mmcv=={mmcv.__version__}' == sys.argv[1]
ext_loader.load_ext('_ext', ['nms'])
PYTHON
}

install_mmcv() {
    local built
    ! mmcv_works || return 0
    for built in "$VENV"/wheels/mmcv-*.whl; do
        [[ -e $built ]] || continue
        must 'mmcv (compiled before)' bare --force-reinstall "$built"
        ! mmcv_works || return 0
    done
    if run 'mmcv (looking for a wheel)' bare --only-binary mmcv --force-reinstall mmcv; then
        ! mmcv_works || return 0
        say "the mmcv wheel that pip found was built for another torch"
    fi
    compile_mmcv
    must 'mmcv (compiled)' bare --force-reinstall "$VENV"/wheels/mmcv-*.whl
    mmcv_works || failed 'loading mmcv'
}

check_compiler() {
    local header
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        die 'mmcv must be compiled, but there is no C++ compiler' \
            'Debian and Ubuntu: apt install g++; Fedora: dnf install gcc-c++' \
            'or name a folder with an mmcv wheel for this torch in PIP_FIND_LINKS'
    header=$("$PY" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h
    [[ -f $header ]] || die "mmcv must be compiled, but $header is missing" \
        'Debian and Ubuntu: apt install python3.11-dev; Fedora: dnf install python3.11-devel'
}

# One compiler takes up to about 1.5 GB.
compile_jobs() {
    local cores memory
    cores=$(nproc 2>/dev/null || echo 1)
    memory=$(awk '/^MemAvailable/ { print int($2 / 1500000) }' /proc/meminfo 2>/dev/null)
    memory=${memory:-1}
    ((memory >= 1)) || memory=1
    echo $((cores < memory ? cores : memory))
}

# In a folder that stays: what an interrupted run has compiled is not compiled again.
compile_mmcv() {
    local version folder
    version=$(pin mmcv) && version=${version#*==}
    folder=$VENV/build/mmcv-$version
    check_compiler
    export MAX_JOBS=${MAX_JOBS:-$(compile_jobs)} MMCV_WITH_OPS=1
    # Debug information costs time and is never looked at.
    export CFLAGS="${CFLAGS:-} -g0" LDFLAGS="${LDFLAGS:-} -s"
    if [[ ! -f $folder/setup.py ]]; then
        must 'mmcv (source)' pip download --no-deps --no-build-isolation \
            --no-binary mmcv -d "$VENV/build" "mmcv==$version"
        tar -xzf "$VENV/build/mmcv-$version.tar.gz" -C "$VENV/build" --no-same-owner
    fi
    say "compiling mmcv's C++ operators, $MAX_JOBS at a time (7 to 12 minutes on 2 cores)"
    must 'mmcv (compiling)' in_folder "$folder" "$PY" setup.py -q bdist_wheel \
        -d "$VENV/wheels"
    rm -rf "$VENV/build"
}
in_folder() { cd "$1" && "${@:2}"; }

self_check() {
    must 'self-check' "$PY" -c 'if True:
        import mmpose_lite, mmpose.apis, mmdet, mim, xtcocotools.coco
        from mmcv.ops import nms'
    "$PY" -m mmpose_lite env >>"$LOG" 2>&1 || failed 'environment report'
}

main() {
    ! done_already || return 0
    # Two set-ups at a time would spoil each other's work.
    if command -v flock >/dev/null; then
        mkdir -p "$VENV"
        exec 9<"$VENV"
        flock -n 9 || { say 'waiting for another set-up to end ...' && flock 9; }
        ! done_already || return 0
    fi
    say "setting up $VENV"
    make_venv
    printf '%s\n' "$(date) tools/setup.sh $*" >"$LOG"
    write_constraints
    torch_arguments
    must 'build tools' bare ninja packaging setuptools wheel
    check_disk
    install_torch
    install_libraries
    must 'mmengine' bare mmengine
    install_mmcv
    must 'MMPose' bare --no-build-isolation mmdet mmpose openmim
    must 'mmpose_lite' pip install --no-deps --no-build-isolation -e "$ROOT"
    [[ $DEV == no ]] || must 'tests and lint' pip install -c "$CONSTRAINTS" "${DEV_TOOLS[@]}"
    self_check
    fingerprint >"$VENV/.setup-runtime"
    [[ $DEV == no ]] || fingerprint >"$VENV/.setup-dev"
    say "set up in $((SECONDS - STARTED)) s; details: $LOG, '$VENV/bin/mmpose-lite env'"
}
main "$@"
