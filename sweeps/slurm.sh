#!/usr/bin/env bash
# Workers of one sweep on a cluster, one per task of an array job, each with a GPU. From the root of the checkout:
#
#   export OPTUNA_STORAGE=postgresql://user@host/sweeps
#   sbatch --array=0-7 sweeps/slurm.sh sweeps/tradeoff.yaml
#
# What follows the sweep's file goes to 'lightning-mm sweep'. The checkout must lie on a file system that all nodes see.
# Two minutes before its time is up a worker stops, queues its model again and asks for another turn; the model goes on
# from its last checkpoint. More tasks can be submitted at any time; when nothing is left to do they end.
#SBATCH --job-name=lightning-mm
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --output=runs/slurm-%A_%a.log
set -euo pipefail

if [ $# -lt 1 ]; then
    echo "usage: sbatch --array=0-7 sweeps/slurm.sh SWEEP.yaml [OPTIONS OF lightning-mm sweep]" >&2
    exit 2
fi
case "${OPTUNA_STORAGE:-}" in
    postgresql*) ;;
    *)
        echo "OPTUNA_STORAGE='${OPTUNA_STORAGE:-}': must be a PostgreSQL URL; SQLite does not work between machines" >&2
        exit 2
        ;;
esac

code=0
srun "${LIGHTNING_MM:-.venv/bin/lightning-mm}" sweep "$@" --workers 1 || code=$?
if [ "$code" -eq 75 ]; then
    job="${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}}"
    scontrol requeue "${job:-$SLURM_JOB_ID}"
    exit 0
fi
exit "$code"
