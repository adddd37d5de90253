#!/bin/bash
# A study on the nodes of a SLURM job. Submit it in your checkout:
#
#     sbatch examples/cluster/slurm_job.sh run resolution
#
# Its output is in study-JOB.log. Submit it several times for a study that takes longer than one job: jobs of one name run
# one after the other, and each continues where the one before it stopped.
#
#SBATCH --job-name=study
#SBATCH --dependency=singleton
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --no-kill
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@300
set -euo pipefail

# Edit these three lines: the environment, a folder that all nodes share, and one on each node's own disk.
source "${STUDY_ENVIRONMENT:-.venv/bin/activate}"
storage=${SCRATCH:-$PWD}/revit-storage
export REVIT_CACHE_DIR=/tmp/revit-cache-$USER

address=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p):6379
study=$PWD/study-$SLURM_JOB_ID

# Ray runs code for everyone who has its token. Its files lie in a folder of this job.
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex())")
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
export RAY_TMPDIR=/tmp/ray-$SLURM_JOB_ID
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300

# Ray starts on every node. On the first, the study runs; at its end, Ray stops everywhere.
srun --no-kill ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_ON_NODE" -- \
    bash -c 'echo $$ >"$0.pid" && exec "$@" >"$0.log" 2>&1' "$study" \
    revit-study "$@" --address "$address" --storage "$storage" &
step=$!

# Before the time limit, this script gets SIGTERM: the study saves its trials and ends.
stop() {
    kill "$(cat "$study.pid" || echo "$step")"
    wait "$step"
    exit
}
clean_up() {
    rm -f "$study.pid"
    srun --no-kill rm -rf "$RAY_TMPDIR" || true
}
trap stop TERM
trap clean_up EXIT
wait "$step"
