#!/usr/bin/env bash
# Gathers the wheels that a machine without package index lacks, this package's among
# them, for Linux x86-64. Installed there with
#
#   pip install --no-index --no-deps FOLDER/*.whl
#
#   bash tools/wheelhouse.sh FOLDER --python 3.12 [--have FILE]
#
# It is taken that torch, torchvision, numpy, scipy, OpenCV, matplotlib and pandas are
# there; FILE, which `pip list --format=freeze` writes there, says it exactly.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
die() { printf 'wheelhouse: %s\n' "$*" >&2 && exit 2; }
FOLDER='' VERSION='' HAVE=''
while (($#)); do
    case $1 in
        --python) VERSION=${2:-} && shift 2 || die '--python wants a version, such as 3.12' ;;
        --have) HAVE=${2:-} && shift 2 || die '--have wants a file' ;;
        -*) die "unknown option $1; allowed: --python, --have" ;;
        *) FOLDER=$1 && shift ;;
    esac
done
[[ -n $FOLDER ]] || die 'name the folder that the wheels go to'
[[ $VERSION =~ ^3\.1[0-3]$ ]] || die "--python '$VERSION': allowed: 3.10 to 3.13"
[[ -z $HAVE || -f $HAVE ]] || die "--have $HAVE is no file"
[[ ! -e $FOLDER || -z $(ls -A "$FOLDER") ]] || die "$FOLDER is not empty: two versions of a package would not install"

python=$(PATH=$ROOT/.venv/bin:$PATH command -v python3) || die 'Python 3 with pip is needed here'
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
printf '%s\n' torch torchvision numpy scipy opencv-python{,-headless} pandas tzdata matplotlib \
    contourpy cycler fonttools kiwisolver pillow pyparsing python-dateutil >"$work/have"
[[ -z $HAVE ]] || sed -nE 's/^([A-Za-z0-9._-]+)(==| @).*/\1/p' "$HAVE" | tr '_.' '--' >"$work/have"
# Neither torch's needs, which came with it, nor engines. mim wants an old setuptools.
sed '/^# --- torch/,/^# --- OpenMMLab/d; /^# --- Engines/,$d' "$ROOT/requirements.txt" >"$work/pins"
sed -i '/^setuptools$/d' "$work/have"
[[ $VERSION != 3.10 ]] || sed -i -E "$(sed -nE 's/^([A-Za-z-]+)==(.*)/s|^\1==.*|\1==\2|/p' \
    "$ROOT/tests/versions/python3.10.txt"); s/^tqdm==/tomli==2.5.0\n&/" "$work/pins"
awk -F== 'NR == FNR { have[tolower($1)]; next } /==/ && !(tolower($1) in have)' \
    "$work/have" "$work/pins" >"$work/wanted"

platforms=()
for glibc in 2_17 2_24 2_26 2_27 2_28 2_31 2_34; do
    platforms+=(--platform "manylinux_${glibc}_x86_64")
done
"$python" -m pip download -q --no-deps --only-binary :all: --dest "$work/wheels" \
    --python-version "$VERSION" --implementation cp --platform manylinux2014_x86_64 \
    "${platforms[@]}" -r "$work/wanted"
"$python" -m pip wheel -q --no-deps --wheel-dir "$work/wheels" "$ROOT"
mkdir -p "$FOLDER"
mv "$work"/wheels/*.whl "$FOLDER"
printf '%d wheels, %s, for Python %s:\n  pip install --no-index --no-deps %s/*.whl\n' \
    "$(find "$FOLDER" -name '*.whl' | wc -l)" "$(du -sh "$FOLDER" | cut -f1)" "$VERSION" "$FOLDER"
