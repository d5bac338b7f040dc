#!/usr/bin/env bash
# Installs the system packages that building and running (run) or testing (test) goai-rs needs. Quick and silent when nothing is missing.
#   tools/setup.sh [run|test]
# What is found by other means counts as present: an mpicc in PATH (a module, a hand-built MPI), LIBCLANG_PATH, clang in PATH.
# Packages come from apt-get as root or through password-less sudo; anybody else is told what to install, and the exit status is 1.
# The test packages are a private Slurm: without them the Slurm part of the tests is skipped, so their absence never stops anything.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin:$HOME/.cargo/bin   # where daemons and a fresh Rust live, which a user's PATH may leave out

what=${1:-run}
case $what in run|test) ;; *) echo "usage: tools/setup.sh [run|test]" >&2; exit 2 ;; esac

has() { command -v "$1" >/dev/null 2>&1; }
any_file() { compgen -G "$1" >/dev/null; }

has_launcher() { has mpirun || has mpiexec || has srun; }
has_mpi() { has_launcher && has mpicc && mpicc -E -x c - <<<'#include <mpi.h>' >/dev/null 2>&1; }
has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] || has clang || any_file '/usr/lib/llvm*/lib/libclang*.so*' || any_file '/usr/lib*/libclang*.so*' ||
    any_file '/usr/lib/*/libclang*.so*' || any_file '/opt/homebrew/opt/llvm/lib/libclang.dylib' || any_file '/usr/local/opt/llvm/lib/libclang.dylib'
}
has_libpmix() { any_file '/usr/lib*/libpmix.so' || any_file '/usr/lib/*/libpmix.so' || any_file '/usr/local/lib*/libpmix.so'; }

# Debian's names of what building and running lack.
missing_run() {
  has make || echo make
  has cc || has gcc || has clang || printf '%s\n' gcc libc6-dev
  has pkg-config || echo pkg-config
  has_mpi || printf '%s\n' libopenmpi-dev openmpi-bin
  has_libclang || echo libclang-dev
}

# Debian's names of what the tests lack besides.
missing_test() {
  [ "$what" = test ] || return 0
  has slurmctld && has slurmd && has sbatch && has srun || echo slurm-wlm
  has munged || echo munge
  has_libpmix || echo libpmix-dev
  has ps || echo procps
}

# What to type by hand, for every machine this script does not serve.
print_lists() {
  cat >&2 <<'LISTS'
Install them yourself:
  Debian, Ubuntu   apt-get install libopenmpi-dev openmpi-bin libclang-dev pkg-config gcc libc6-dev make
  Fedora, RHEL     dnf install openmpi-devel clang-devel pkgconf-pkg-config gcc make   (then: module load mpi/openmpi-x86_64)
  macOS            brew install open-mpi llvm pkgconf make                             (then: export LIBCLANG_PATH="$(brew --prefix llvm)/lib")
On a cluster:
  module load openmpi
  module load llvm      # or: export LIBCLANG_PATH=<the directory that holds libclang.so>
For the tests' private Slurm (without it that part is skipped):
  Debian, Ubuntu   apt-get install slurm-wlm munge libpmix-dev procps
LISTS
}

# as_root COMMAND...: runs it as root, or fails with 126 where nobody lets us.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif has sudo && sudo -n true 2>/dev/null; then sudo -n "$@"
  else return 126; fi
}
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"; }
knows_all() { local p; for p; do [ -n "$(apt-cache show --no-all-versions "$p" 2>/dev/null)" ] || return 1; done; }

# The packages' services are not started: the tests run daemons of their own, and a build changes nothing that runs on the machine.
policy=/usr/sbin/policy-rc.d
services_off() {
  [ ! -e "$policy" ] || return 0
  # shellcheck disable=SC2016
  as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$policy"
  trap services_back EXIT
}
services_back() { as_root rm -f "$policy"; trap - EXIT; }

# install PACKAGES...: one line on stderr, apt's own words only when it fails.
install() {
  local log rc=0
  as_root true || return 126
  has apt-get || return 126
  log=$(mktemp)
  echo "installing: $*" >&2
  services_off
  knows_all "$@" || apt update >"$log" 2>&1 || true
  # Package lists can be older than the archive: on failure read them again, once.
  apt install --no-install-recommends -y "$@" >>"$log" 2>&1 </dev/null ||
    { apt update && apt install --no-install-recommends -y "$@"; } >>"$log" 2>&1 </dev/null || rc=$?
  [ -z "$(trap -p EXIT)" ] || services_back
  [ "$rc" = 0 ] || tail -n 15 "$log" >&2
  rm -f "$log"
  return "$rc"
}

if ! has cargo; then
  echo "setup: cargo not found in PATH. Install Rust from https://rustup.rs (one command, no root), then try again." >&2
  exit 1
fi

# shellcheck disable=SC2207   # package names hold no spaces, and mapfile is unknown to the bash of macOS
need=($(missing_run)) extra=($(missing_test))
[ $((${#need[@]} + ${#extra[@]})) -gt 0 ] || exit 0

# Apart from each other: what only the tests need must not keep the rest from being installed.
if [ ${#need[@]} -gt 0 ]; then
  install "${need[@]}" || {
    [ $? = 126 ] && why="this needs apt-get as root or through password-less sudo" || why="apt-get failed"
    echo "setup: missing: ${need[*]} (Debian's names); not installed: $why." >&2
    print_lists
    exit 1
  }
  still=$(missing_run)
  [ -z "$still" ] || { echo "setup: installed, yet not found: ${still//$'\n'/ }. Check PATH, mpicc and LIBCLANG_PATH." >&2; exit 1; }
fi
[ ${#extra[@]} = 0 ] || install "${extra[@]}" ||
  echo "setup: ${extra[*]} could not be installed here: the tests that need them, the Slurm part above all, will be skipped." >&2
exit 0
