#!/usr/bin/env bash
# Submits the scripts of slurm/ unedited to a real one-node Slurm that it starts itself, and checks the finished runs.
#   tests/slurm.sh                 needs ./goai-rs (make)
#   tests/slurm.sh --self-check    the Slurm alone: trivial jobs, a small MPI program, what a missing binary says; needs no ./goai-rs
# Where the packages are missing it says SKIP and why, and succeeds. It stops only what it started.
# Exit status: 0 nothing failed, 1 something did, 2 usage.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(cd "$(dirname "$0")/.." && pwd -P)
self_check=no
case ${1:-} in "") ;; --self-check) self_check=yes ;; *) echo "usage: tests/slurm.sh [--self-check]" >&2; exit 2 ;; esac

# --- the report ----------------------------------------------------------------------------------------------------------------

passed=0 failed=0 skipped=0
pass() { passed=$((passed + 1)); echo "PASS $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
skip() { skipped=$((skipped + 1)); echo "SKIP $1: $2"; }
finish() {
  echo "slurm: $passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
  exit
}
# check NAME WHY COMMAND...: PASS when the command succeeds, else FAIL with WHY.
check() {
  local name=$1 why=$2
  shift 2
  if "$@" >/dev/null 2>&1; then pass "$name"; else fail "$name" "$why"; fi
}

# --- what this machine lacks ---------------------------------------------------------------------------------------------------

[ -z "${SKIP_SLURM:-}" ] || { skip slurm "SKIP_SLURM is set"; finish; }
for need in slurmctld slurmd sbatch srun munged mpirun; do
  command -v "$need" >/dev/null || { skip slurm "$need not found (apt-get install slurm-wlm munge libpmix-dev; make test does so as root or through sudo)"; finish; }
done
[ "$self_check" = yes ] || [ -x "$top/goai-rs" ] || { fail binary "no ./goai-rs in $top: run make first"; finish; }

# A job or a make around this script must not shape the jobs inside: they see what a user's shell on a cluster has.
# shellcheck disable=SC2086
unset ${!SLURM@} ${!SBATCH@} ${!SRUN@} ${!OMPI_MCA_@} ${!PRTE_MCA_@} ${!GOAI_@} MAKEFLAGS MAKELEVEL
# What root has to say to mpirun reaches the ranks through sbatch's --export=ALL, the default.
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# --- the node ------------------------------------------------------------------------------------------------------------------

tmp=$(mktemp -d /tmp/goai-slurm.XXXXXX) || exit 1   # /tmp and short: PMIx puts sockets below it, whose paths are bounded
clean_up() {
  "$top/tools/slurm-node.sh" stop "$tmp/node" 2>/dev/null
  rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 711 "$tmp"

start_node() {
  local exports
  exports=$("$top/tools/slurm-node.sh" start "$tmp/node") || return 1
  eval "$exports"
}
start_node || { fail node "Slurm did not start (logs above; SKIP_SLURM=1 leaves this part out)"; finish; }
pass "node: partition fat, $(sinfo --noheader --format=%c) CPUs, Slurm $(sinfo -V | awk '{print $2}')"

# --- jobs ----------------------------------------------------------------------------------------------------------------------

# job_field ID FIELD: one field of what Slurm knows about the job.
job_field() { scontrol --oneliner show job "$1" 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p"; }

# wait_job ID SECONDS: until it has ended; past the deadline it is cancelled and called OVERDUE. Leaves $state, $code (EXIT:SIGNAL) and $log.
wait_job() {
  local deadline=$((SECONDS + $2))
  while :; do
    state=$(job_field "$1" JobState)
    case $state in PENDING | RUNNING | COMPLETING | CONFIGURING | SUSPENDED) ;; *) break ;; esac
    if [ "$SECONDS" -ge "$deadline" ]; then
      state=OVERDUE-$state
      scancel "$1"
      break
    fi
    sleep 0.2
  done
  code=$(job_field "$1" ExitCode)
  log=$(job_field "$1" StdOut)
}

# job_done NAME ID SECONDS: PASS when it COMPLETED with exit code 0; else FAIL and the end of its output.
job_done() {
  wait_job "$2" "$3"
  if [ "$state $code" = "COMPLETED 0:0" ]; then pass "$1: job completed"; return; fi
  fail "$1: job completed" "state $state, exit $code; its output ends:"
  tail -n 12 "$log" 2>/dev/null | sed 's/^/     | /'
  return 1
}

# work_dir NAME: a fresh directory as a user has it after make; jobs are submitted from there.
work_dir() {
  mkdir -p "$tmp/$1"
  cp -r "$top/slurm" "$tmp/$1/"
  [ "${2:-}" = empty ] || ln -s "$top/goai-rs" "$tmp/$1/goai-rs"
  [ ! -d "$top/datasets" ] || ln -s "$top/datasets" "$tmp/$1/datasets"
  cd "$tmp/$1" || exit 1
}
# submit [SBATCH ARGUMENTS]: prints the job's id.
submit() { timeout 30 sbatch --parsable "$@"; }

# --- checks of a finished run --------------------------------------------------------------------------------------------------

# json FILE KEY: the first plain value of that key, whatever the layout of the file.
json() { tr -d ' \n\t' <"$1" | grep -oE "\"$2\":(\"[^\"]*\"|[-+.eE0-9a-z]+)" | head -n 1 | sed -E 's/^"[^"]*"://; s/^"//; s/"$//'; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a + 0 >= b && a + 0 <= 1) }'; }

# run_complete NAME RUN.JSON RANKS: what a user relies on afterwards.
run_complete() {
  [ -s "$2" ] || { fail "$1: run.json" "no file $2"; return; }
  check "$1: state complete" "state is $(json "$2" state)" [ "$(json "$2" state)" = complete ]
  check "$1: $3 ranks in one world" "ranks is $(json "$2" ranks)" [ "$(json "$2" ranks)" = "$3" ]
  check "$1: test accuracy" "test_acc is $(json "$2" test_acc), wanted 0.8 or more" at_least "$(json "$2" test_acc)" 0.8
}

# one_run NAME DIR: exactly one run directory (N singletons would leave N); prints its run.json.
one_run() {
  local dirs=()
  mapfile -t dirs < <(find "$tmp/$1/runs" -mindepth 1 -maxdepth 1 -type d 2>/dev/null)
  [ ${#dirs[@]} = 1 ] || { echo "$tmp/$1/runs has ${#dirs[@]} run directories" >&2; return 1; }
  echo "${dirs[0]}/run.json"
}

# --- the two programmes --------------------------------------------------------------------------------------------------------

check_missing_binary() {
  local script
  work_dir empty empty
  for script in iris_allreduce iris_sendrecv img_allreduce img_sendrecv pipeline_chain pipeline_1f1b split_ares offload bench_comm srun_pmix scaling requeue; do
    wait_job "$(submit "slurm/$script.sbatch")" 60
    check "$script without ./goai-rs: exit code 2" "state $state, exit $code" [ "$code" = 2:0 ]
    check "$script without ./goai-rs: one line says so" "output: $(head -c 300 "$log")" \
      [ "$(grep -c . "$log") $(grep -c 'no ./goai-rs in .*: run make there' "$log")" = "1 1" ]
  done
}

check_scripts() {
  local name script run n
  declare -A id
  # All at once: each takes the whole node, so they wait for each other in the queue as they would on a cluster.
  for script in iris_allreduce iris_sendrecv srun_pmix scaling; do
    work_dir "$script"
    id[$script]=$(submit "slurm/$script.sbatch") || fail "$script: sbatch" "not accepted"
  done
  # One epoch of a few synthetic pictures: in the place of the real set for one script, and made by the other.
  for script in img_allreduce img_sendrecv; do
    work_dir "$script"
    rm -f datasets
    [ "$script" = img_sendrecv ] || "$top/goai-rs" data synth --dataset img --out datasets/intel --per-class 5/2 >/dev/null || fail "$script: data synth" "exit $?"
    id[$script]=$(GOAI_NUM_EPOCHS=1 submit "slurm/$script.sbatch") || fail "$script: sbatch" "not accepted"
  done
  work_dir pipeline_chain
  rm -f datasets
  "$top/goai-rs" data synth --dataset cifar10 --out datasets --per-class 6/2 >/dev/null || fail "pipeline_chain: data synth" "exit $?"
  id[pipeline_chain]=$(GOAI_NUM_EPOCHS=1 submit slurm/pipeline_chain.sbatch)
  work_dir pipeline_1f1b
  rm -f datasets
  "$top/goai-rs" data synth --dataset img --out datasets/intel --per-class 5/2 >/dev/null || fail "pipeline_1f1b: data synth" "exit $?"
  id[pipeline_1f1b]=$(GOAI_NUM_EPOCHS=1 submit slurm/pipeline_1f1b.sbatch)
  work_dir split_ares
  rm -f datasets
  "$top/goai-rs" data synth --dataset cifar10 --out datasets/CIFAR10 --per-class 12/2 >/dev/null || fail "split_ares: data synth" "exit $?"
  id[split_ares]=$(GOAI_NUM_EPOCHS=1 GOAI_BATCH_SIZE=10 submit slurm/split_ares.sbatch)
  work_dir offload
  id[offload]=$(submit slurm/offload.sbatch)
  work_dir bench_comm
  id[bench_comm]=$(submit slurm/bench_comm.sbatch)
  for name in iris_allreduce iris_sendrecv srun_pmix; do
    job_done "$name" "${id[$name]}" 120 || continue
    if run=$(one_run "$name" 2>&1); then run_complete "$name" "$run" 20; else fail "$name: one run" "$run"; fi
  done
  for name in img_allreduce img_sendrecv; do
    job_done "$name" "${id[$name]}" 300 || continue
    if run=$(one_run "$name" 2>&1); then
      check "$name: complete on 20 ranks" "state is $(json "$run" state), ranks $(json "$run" ranks)" \
        [ "$(json "$run" state) $(json "$run" ranks)" = "complete 20" ]
    else
      fail "$name: one run" "$run"
    fi
    local said=0
    [ "$name" = img_allreduce ] || said=1
    check "$name: says when the pictures are synthetic" "output: $(head -c 300 "$log")" [ "$(grep -c 'trains on SYNTHETIC pictures' "$log")" = "$said" ]
  done
  for name in pipeline_chain pipeline_1f1b; do
    job_done "$name" "${id[$name]}" 300 || continue
    local ranks=5
    [ "$name" = pipeline_chain ] || ranks=8
    if run=$(one_run "$name" 2>&1); then
      check "$name: complete on $ranks ranks" "state is $(json "$run" state), ranks $(json "$run" ranks)" \
        [ "$(json "$run" state) $(json "$run" ranks)" = "complete $ranks" ]
      check "$name: a row a stage" "stages.csv: $(head -c 300 "${run%run.json}stages.csv" 2>&1)" \
        [ "$(grep -c . "${run%run.json}stages.csv" 2>/dev/null)" = $((ranks + 1)) ]
    else
      fail "$name: one run" "$run"
    fi
  done
  if job_done split_ares "${id[split_ares]}" 300; then
    if run=$(one_run split_ares 2>&1); then
      check "split_ares: complete on 6 ranks" "state is $(json "$run" state), ranks $(json "$run" ranks)" \
        [ "$(json "$run" state) $(json "$run" ranks)" = "complete 6" ]
      check "split_ares: a row a device" "splits.csv: $(head -c 300 "${run%run.json}splits.csv" 2>&1)" \
        [ "$(grep -c . "${run%run.json}splits.csv" 2>/dev/null)" = 6 ]
    else
      fail "split_ares: one run" "$run"
    fi
  fi
  if job_done offload "${id[offload]}" 300; then
    if run=$(one_run offload 2>&1); then
      check "offload: complete on 6 ranks" "state is $(json "$run" state), ranks $(json "$run" ranks)" \
        [ "$(json "$run" state) $(json "$run" ranks)" = "complete 6" ]
      check "offload: a row a request" "requests.csv: $(head -c 300 "${run%run.json}requests.csv" 2>&1)" \
        [ "$(wc -l <"${run%run.json}requests.csv")" = 51 ]
    else
      fail "offload: one run" "$run"
    fi
  fi
  if job_done bench_comm "${id[bench_comm]}" 300; then
    check "bench_comm: 20 ranks, a table and constants" "output: $(head -c 300 "$log")" [ "$(grep -c '^20 ranks on 1 host\|^fitted: alpha ' "$log")" = 2 ]
    check "bench_comm: net.json" "no file, or no constants in it" [ -n "$(json "$tmp/bench_comm/net.json" alpha_s)" ]
  fi
  job_done scaling "${id[scaling]}" 300 || return
  local runs=$tmp/scaling/runs/scaling_${id[scaling]}
  for n in 1 2 4 8 16 20; do
    check "scaling: $n ranks complete" "state is $(json "$runs/n$n/run.json" state 2>&1), ranks $(json "$runs/n$n/run.json" ranks 2>&1)" \
      [ "$(json "$runs/n$n/run.json" state 2>/dev/null) $(json "$runs/n$n/run.json" ranks 2>/dev/null)" = "complete $n" ]
  done
  check "scaling: speed-up table of 6 rows" "in slurm-${id[scaling]}.out: $(tail -n 9 "$log")" \
    [ "$(grep -cE '^[ |]*(1|2|4|8|16|20)[ |]' "$runs/speedup.txt" 2>/dev/null)" = 6 ]
  check "scaling: speedup.svg" "no drawing in $runs" grep -q '<svg' "$runs/speedup.svg"
}

# The job is asked to stop as Slurm asks before the time limit, requeues itself, and ends as if nothing had been.
check_requeue() {
  local id reference run k
  work_dir requeue
  reference=$(GOAI_NUM_EPOCHS=1500 OMPI_MCA_rmaps_base_oversubscribe=1 timeout 300 mpirun -n 2 ./goai-rs --run-dir whole --quiet && json whole/run.json weights_hash)
  id=$(GOAI_NUM_EPOCHS=1500 submit -n 2 --time=5 slurm/requeue.sbatch) || { fail "requeue: sbatch" "not accepted"; return; }
  run=runs/requeue_$id
  for ((k = 0; k < 600; k++)); do
    [ "$(grep -c . "$run/metrics.csv" 2>/dev/null)" -gt 20 ] 2>/dev/null && break
    sleep 0.05
  done
  scancel --signal=USR1 --batch "$id"
  for ((k = 0; k < 600; k++)); do
    [ "$(job_field "$id" Restarts)" = 1 ] && break
    sleep 0.1
  done
  check "requeue: queued again" "state $(job_field "$id" JobState), restarts $(job_field "$id" Restarts): $(tail -n 5 "slurm-$id.out")" [ "$(job_field "$id" Restarts)" = 1 ]
  check "requeue: checkpointed in between" "state is $(json "$run/run.json" state)" [ "$(json "$run/run.json" state)" = checkpointed ]
  # Slurm waits two minutes before it starts a requeued job again, and the node needs some of that: a job whose first piece
  # is not cleared away there yet fails at once.
  sleep 5
  for ((k = 0; k < 100; k++)); do
    [ "$(job_field "$id" JobState)" = PENDING ] && scontrol update JobId="$id" StartTime=now && break
    sleep 0.1
  done
  job_done requeue "$id" 240 || return
  run_complete requeue "$run/run.json" 2
  check "requeue: went on once" "output: $(grep piece "$log")" [ "$(grep -c '^piece [01] of job' "$log")" = 2 ]
  check "requeue: the bits of an undisturbed run" "weights $(json "$run/run.json" weights_hash), undisturbed $reference" \
    [ -n "$reference" -a "$(json "$run/run.json" weights_hash)" = "$reference" ]
}

check_slurm_alone() {
  work_dir self empty
  job_done "sbatch" "$(submit --wrap hostname)" 60 && check "sbatch: output" "$(cat "$log")" [ -s "$log" ]
  check "srun: 20 tasks" "srun -n 20 hostname" [ "$(timeout 60 srun -n 20 hostname | wc -l)" = 20 ]
  job_done "mpirun in a job" "$(submit -n 20 --wrap 'mpirun -n 20 hostname')" 60 && check "mpirun in a job: 20 lines" "$(tail -n 3 "$log")" [ "$(wc -l <"$log")" = 20 ]
  command -v mpicc >/dev/null || { skip "MPI program" "mpicc not found"; return; }
  cat >world.c <<'C'
#include <mpi.h>
#include <stdio.h>
int main(int argc, char **argv) {
  static float buf[1024];
  int rank, size, i, steps = 4;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  double t = MPI_Wtime();
  for (i = 0; i < steps; i++) MPI_Allreduce(MPI_IN_PLACE, buf, 1024, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  if (rank == 0) printf("world of %d, %.3f ms per 4 kB allreduce\n", size, (MPI_Wtime() - t) / steps * 1e3);
  MPI_Finalize();
  return 0;
}
C
  mpicc world.c -o world || { fail "MPI program" "mpicc failed"; return; }
  local idle launcher
  for idle in 1 0; do
    for launcher in "mpirun -n 20" "srun --mpi=pmix"; do
      wait_job "$(OMPI_MCA_mpi_yield_when_idle=$idle submit -n 20 --wrap "$launcher ./world")" 120
      check "$launcher, yield_when_idle=$idle: $(grep -h world "$log")" "state $state, exit $code: $(tail -n 3 "$log")" \
        [ "$(grep -c 'world of 20' "$log") $(wc -l <"$log")" = "1 1" ]
    done
  done
}

# Nothing of ours outlives it: no process whose environment names this node, no daemon.
check_stop() {
  cd /
  "$top/tools/slurm-node.sh" stop "$tmp/node"
  unset SLURM_CONF
  sleep 0.3
  local left
  left=$(grep -lsaF "$tmp/node" /proc/[0-9]*/environ /proc/[0-9]*/cmdline | cut -d/ -f3 | grep -vx "$$" | while read -r p; do tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline" | grep -v '^grep ' ; done)
  check "stop: nothing is left" "$left" [ -z "$left" ]
}

if [ "$self_check" = yes ]; then
  check_slurm_alone
  check_missing_binary
  check_stop
  if start_node; then
    check "start again: 2 tasks" "srun failed" [ "$(timeout 60 srun -n 2 hostname | wc -l)" = 2 ]
    check_stop
  else
    fail "start again" "see the logs above"
  fi
else
  check_missing_binary
  check_scripts
  check_requeue
  check_stop
fi
finish
