#!/usr/bin/env bash
# From nothing to a trained pose model: sets up .venv, draws toy people, trains an
# X-HRNet on them, evaluates it before and after, and draws its predictions.
#
#   bash tools/demo.sh
#
# Environment variables, all optional:
#
#   DEMO_DIR      where runs and the picture go (default: work_dirs/demo)
#   DEMO_DATA     where the toy data goes (default: data/toy)
#   DEMO_TRAIN    number of training images (default: 2800)
#   DEMO_VAL      number of held-out images (default: 240)
#   DEMO_OPTIONS  more 'key=value' settings for mim's --cfg-options
#   DEMO_SETUP    'no' takes .venv as it is
#   OMP_NUM_THREADS  threads of the training process (default: 1; on two cores 2 make a
#                    step a quarter faster if nothing else runs, else much slower)
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$ROOT"
CONFIG=configs/demo/td-hm_xhrnet-toy_1xb16-2e_toy-128x96.py
DEMO_DIR=${DEMO_DIR:-work_dirs/demo}
DEMO_DATA=${DEMO_DATA:-data/toy}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHONPATH=$ROOT
# Notices of MMEngine and MMPose about their own matters.
QUIET='ignore:pkg_resources is deprecated:UserWarning'
QUIET+=',ignore:The metainfo config file:UserWarning'
export PYTHONWARNINGS=${PYTHONWARNINGS:-$QUIET}
PY=.venv/bin/python
MIM=.venv/bin/mim

step() { printf '\n== %s (%s s)\n' "$1" "$((SECONDS - STARTED))"; }
quietly() { # keeps a log; shows its end only when the command fails
    local log=$1
    shift
    "$@" >"$log" 2>&1 || { tail -n 30 "$log" >&2 && return 1; }
}

[[ ${DEMO_SETUP:-yes} == no ]] || bash tools/setup.sh
STARTED=$SECONDS
mkdir -p "$DEMO_DIR"

OPTIONS=(
    "train_dataloader.dataset.data_root=$DEMO_DATA/"
    "val_dataloader.dataset.data_root=$DEMO_DATA/"
    "test_dataloader.dataset.data_root=$DEMO_DATA/"
    "val_evaluator.ann_file=$DEMO_DATA/annotations/person_keypoints_val.json"
    "test_evaluator.ann_file=$DEMO_DATA/annotations/person_keypoints_val.json"
)
read -r -a MORE <<<"${DEMO_OPTIONS:-}"
OPTIONS+=(${MORE[@]+"${MORE[@]}"})

evaluate() { # CHECKPOINT NAME
    quietly "$DEMO_DIR/$2.log" "$MIM" test mmpose "$CONFIG" --checkpoint "$1" --gpus 0 \
        --work-dir "$DEMO_DIR/$2" --cfg-options "${OPTIONS[@]}"
}

step '1/5 toy people'
"$PY" tools/make_toy_data.py "$DEMO_DATA" \
    --train "${DEMO_TRAIN:-2800}" --val "${DEMO_VAL:-240}"

step '2/5 evaluation of the initial weights'
"$PY" tools/demo.py init "$CONFIG" "$DEMO_DIR/initial.pth"
evaluate "$DEMO_DIR/initial.pth" before

step '3/5 training'
rm -f "$DEMO_DIR/train/last_checkpoint"
"$MIM" train mmpose "$CONFIG" --gpus 0 --work-dir "$DEMO_DIR/train" \
    --cfg-options "load_from=$DEMO_DIR/initial.pth" \
    train_cfg.val_begin=1000000 "${OPTIONS[@]}" | # step 4 evaluates
    { grep --line-buffered -oE 'Epoch\((train|val)\) .*|.*Error.*' || true; }
[[ -f $DEMO_DIR/train/last_checkpoint ]] || {
    echo "training failed; its log is in $DEMO_DIR/train" >&2
    exit 1
}
CHECKPOINT=$(<"$DEMO_DIR/train/last_checkpoint")

step '4/5 evaluation of the trained weights'
evaluate "$CHECKPOINT" after

step '5/5 table and picture'
"$PY" tools/demo.py report "$CONFIG" "$CHECKPOINT" "$DEMO_DATA" "$DEMO_DIR"
printf '%s: held-out images, ground truth and prediction; %s s in all\n' \
    "$DEMO_DIR/predictions.png" "$((SECONDS - STARTED))"
