#!/usr/bin/env bash
# A real Slurm of one node under a directory of its own: partition fat, 20 CPUs whatever the machine has. For the tests; not for work.
#   tools/slurm-node.sh start DIR    starts munged, slurmctld and slurmd; prints the export lines a caller evaluates, once the node is idle
#   tools/slurm-node.sh stop DIR     cancels its jobs and ends the daemons that start left in DIR, nothing else; quiet when there is nothing
# Configuration, key, socket, spool, state, logs and pids all lie in DIR; ports are free ones; a system Slurm or munge is never touched.
# Exit status of start: 0 ready, 1 it did not come up (the reason and the ends of the logs on stderr, nothing left running).
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

usage() { echo "usage: tools/slurm-node.sh start|stop DIR" >&2; exit 2; }
[ $# = 2 ] || usage
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
host=$(uname -n)
host=${host%%.*}   # as slurmd shortens it
cpus=20

# --- writing the configuration -------------------------------------------------------------------------------------------------

# free_port: a port of 127.0.0.1 nobody answers on. Below the ephemeral range, so that no outgoing connection takes it meanwhile.
free_port() {
  local port
  while :; do
    port=$((20000 + (RANDOM % 10000)))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# proctrack/pgid, task/none, no accounting: nothing here needs cgroups or systemd, so it runs in a container or a chroot too.
# config_overrides lets the node claim 20 CPUs; the job then oversubscribes the cores there are, as the tests want it to.
write_slurm_conf() {
  local user
  user=$(id -un)
  cat >"$dir/slurm.conf" <<CONF
ClusterName=goai
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$dir/munge.socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
MessageTimeout=10
KillWait=2
UnkillableStepTimeout=10
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=fat Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
}

# --- starting ------------------------------------------------------------------------------------------------------------------

# spawn NAME COMMAND...: a daemon in a session of its own, its pid in DIR/NAME.own (the daemons' own pid files can come late or not at all).
spawn() {
  local name=$1
  shift
  setsid "$@" >>"$dir/$name.out" 2>&1 </dev/null &
  echo $! >"$dir/$name.own"
}

# ours NAME: the pid of that daemon while it lives and is still the process we started (a pid can be given out again).
ours() {
  local pid
  pid=$(cat "$dir/$1.own" 2>/dev/null) && [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir/" && echo "$pid"
}

# until_true SECONDS COMMAND...: polls it four times a second.
until_true() {
  local left=$(($1 * 4))
  shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 0.25
  done
}

start_munge() {
  (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
  # --force: DIR lies below a directory that others may write to (/tmp), which munged refuses for a system-wide service.
  spawn munged munged --foreground --force --num-threads=2 --key-file="$dir/munge.key" --socket="$dir/munge.socket" \
    --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" --seed-file="$dir/munged.seed"
  until_true 10 munge --socket="$dir/munge.socket" --no-input
}

node_idle() { [ "$(SLURM_CONF=$dir/slurm.conf sinfo --noheader --format=%T --partition=fat 2>/dev/null)" = idle ]; }
idle_or_dead() { node_idle || ! ours slurmctld || ! ours slurmd; }

# start_slurm CGROUP_PLUGIN: both daemons with that cgroup.conf; true once the node is idle.
start_slurm() {
  write_slurm_conf
  echo "CgroupPlugin=$1" >"$dir/cgroup.conf"
  export SLURM_CONF=$dir/slurm.conf
  spawn slurmctld slurmctld -D -i -f "$dir/slurm.conf"
  spawn slurmd slurmd -D -f "$dir/slurm.conf"
  until_true 30 idle_or_dead && node_idle
}

show_logs() {
  local log
  for log in "$dir"/{munge,slurmctld,slurmd}.out; do   # run in the foreground, each says there what it says in its log
    [ ! -s "$log" ] || { echo "--- $log"; tail -n 8 "$log"; } >&2
  done
}

start() {
  local need plugin
  for need in munged munge slurmctld slurmd sbatch sinfo; do
    command -v "$need" >/dev/null || { echo "slurm-node: $need not found: install slurm-wlm and munge (tools/setup.sh test)" >&2; exit 1; }
  done
  ! ours slurmctld >/dev/null || { echo "slurm-node: already running in $dir" >&2; exit 1; }
  chmod 711 "$dir"
  mkdir -p "$dir/state" "$dir/spool"
  start_munge || { echo "slurm-node: munged did not come up" >&2; show_logs; stop; exit 1; }
  # v1 asks least of the machine (no systemd, no bus); the others are for versions and kernels without it. A port taken meanwhile is retried too.
  for plugin in cgroup/v1 disabled autodetect cgroup/v1; do
    if start_slurm "$plugin"; then
      echo "export SLURM_CONF=$dir/slurm.conf"
      return
    fi
    end_daemon slurmd
    end_daemon slurmctld
  done
  echo "slurm-node: Slurm did not come up in $dir" >&2
  show_logs
  stop
  exit 1
}

# --- stopping ------------------------------------------------------------------------------------------------------------------

gone() { ! ours "$1"; }
no_jobs() { [ -z "$(squeue --noheader)" ]; }

end_daemon() {
  local pid
  pid=$(ours "$1") || { rm -f "$dir/$1.own"; return 0; }
  kill -TERM "$pid" 2>/dev/null || true
  until_true 10 gone "$1" || kill -KILL "$pid" 2>/dev/null || true
  rm -f "$dir/$1.own"
}

stop() {
  if ours slurmctld >/dev/null && ours slurmd >/dev/null && [ -s "$dir/slurm.conf" ]; then
    export SLURM_CONF=$dir/slurm.conf
    if ! no_jobs 2>/dev/null; then
      scancel --partition=fat 2>/dev/null || true
      until_true 20 no_jobs || echo "slurm-node: jobs are left in $dir" >&2
    fi
  fi
  end_daemon slurmd
  end_daemon slurmctld
  end_daemon munged
}

case $1 in start) start ;; stop) stop ;; *) usage ;; esac
