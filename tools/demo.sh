#!/usr/bin/env bash
# From nothing to a trained pose model: sets up .venv, then runs `mmpose-lite demo`,
# which draws toy people, trains an X-HRNet on them, evaluates it before and after, and
# draws its predictions. Arguments are those of `mmpose-lite demo`:
#
#   bash tools/demo.sh [--out FOLDER] [--data FOLDER] [--train N] [--val N] ...
#
# DEMO_SETUP=no takes .venv as it is.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ ${DEMO_SETUP:-yes} == no ]] || bash tools/setup.sh
PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} exec .venv/bin/python -W ignore -m mmpose_lite demo "$@"
