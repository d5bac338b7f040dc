#!/usr/bin/env bash
# Executes every command of README.md in a fresh directory, as a reader would, and checks the links of the documents.
#   tests/readme.sh                needs ./goai-rs (make)
#   tests/readme.sh --list         prints the commands it found, and runs nothing
#   tests/readme.sh --self-check   its own rules, on a small document
# What counts as a command: every line of a ```sh block, and every line of a ```console block that begins with "$ ". ```text is output.
# "# exit N" behind a command expects that exit status. The commands share one directory, in order, and what they export.
# Exit status: 0 nothing failed, 1 something did, 2 usage.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd -P)
mode=run page=$top/README.md
case ${1:-} in
  "") ;;
  --list) mode=list ;;
  --self-check) mode=self ;;
  *) echo "usage: tests/readme.sh [--list|--self-check]" >&2; exit 2 ;;
esac

deadline=60           # seconds for a command
build_deadline=900    # for one that may compile

passed=0 failed=0 skipped=0
pass() { passed=$((passed + 1)); echo "PASS $1"; }
fail() { failed=$((failed + 1)); echo "FAIL $1: $2"; }
skip() { skipped=$((skipped + 1)); echo "SKIP $1: $2"; }

# --- what the page says --------------------------------------------------------------------------------------------------------

# commands FILE: LINE<tab>COMMAND of each. A block that is never closed, or of another kind than these three, is a fault of the page.
commands() {
  awk '
    /^```/ {
      if (kind != "") { kind = ""; next }
      kind = substr($0, 4); opened = NR
      if (kind != "sh" && kind != "console" && kind != "text") { print NR "\t!a block must begin with ```sh, ```console or ```text"; kind = "text" }
      next
    }
    kind == "sh" && /[^ ]/ && !/^ *#/ { print NR "\t" $0 }
    kind == "console" && /^\$ / { print NR "\t" substr($0, 3) }
    END { if (kind != "") print opened "\t!a block that is never closed" }
  ' "$1"
}

# without_comment COMMAND: no " # ..." at its end (a # within a word or quotes stays).
without_comment() { sed -E "s/[[:space:]]+#[^'\"]*\$//" <<<"$1"; }

# broken_links FILE: the targets of its links that are neither a file beside it nor one of its own headings. The web is not asked.
broken_links() {
  local target
  grep -oE '\]\([^)]+\)' "$1" | sed -E 's/^\]\(//; s/\)$//' | sort -u | while read -r target; do
    case $target in
      http://* | https://*) ;;
      \#*) grep -E '^#+ ' "$1" | sed -E 's/^#+ //' | tr '[:upper:]' '[:lower:]' | tr -cd 'a-z0-9 \n-' | tr ' ' '-' | grep -qx -- "${target#\#}" || echo "$target" ;;
      *) [ -e "$(dirname "$1")/${target%%\#*}" ] || echo "$target" ;;
    esac
  done
}

# --- running them --------------------------------------------------------------------------------------------------------------

# prepare: $work is what a reader has after `make`: the binary, the data, the scripts. cargo builds the checkout itself, but runs here.
prepare() {
  tmp=$(mktemp -d) || exit 1
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  work=$tmp/work variables=$tmp/variables
  mkdir -p "$work/datasets" "$tmp/bin"
  : >"$variables"
  # Not the pictures that a user may have there: the page begins without them.
  cp "$top/datasets/README.md" "$top/datasets/iris.csv" "$work/datasets/"
  cp -r "$top/docs" "$top/slurm" "$top/.irisenv" "$top/.imgenv" "$top/Makefile" "$work/"
  [ ! -x "$top/goai-rs" ] || cp "$top/goai-rs" "$work/"
  real_cargo=$(command -v cargo)
  # shellcheck disable=SC2016   # the shell that is written expands them
  printf '#!/bin/sh\nsub=$1; shift\nexec "%s" "$sub" --quiet --locked --manifest-path "%s/Cargo.toml" "$@"\n' "$real_cargo" "$top" >"$tmp/bin/cargo"
  chmod +x "$tmp/bin/cargo"
  # The user's shell, not that of a make or a job around this script.
  # shellcheck disable=SC2086
  unset ${!GOAI_@} ${!SLURM@} ${!OMPI_MCA_@} ${!PRTE_MCA_@} MAKEFLAGS MAKELEVEL
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$top/target}
  # This machine may have few cores, and its user may be root.
  export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
  if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
}

# execute SECONDS COMMAND: in $work, with what was exported before; its output goes to $tmp/out. Leaves the exported variables of an export line.
execute() {
  (
    cd "$work" || exit 1
    export PATH="$tmp/bin:$PATH"
    # shellcheck disable=SC2016   # the inner shell expands them
    # pipefail: a failure in front of a pipe counts (the program forgives a head that leaves early).
    timeout -k 5 "$1" bash -o pipefail -c 'source "$1"; eval "$2"' bash "$variables" "$2"
  ) >"$tmp/out" 2>&1 </dev/null
}

# run_command LINE TEXT: one command of the page.
run_command() {
  local command expected=0 name status seconds=$deadline file target
  command=$(without_comment "$2")
  expected=$(sed -nE 's/.*# exit ([0-9]+)$/\1/p' <<<"$2")
  expected=${expected:-0}
  name="line $1: $command"
  case $command in
    \!*) fail "line $1" "${command#!}"; return ;;
    export\ *)
      if execute "$seconds" "$command"; then echo "$command" >>"$variables"; pass "$name"; else fail "$name" "$(head -c 300 "$tmp/out")"; fi
      return ;;
    make | make\ *)
      # What make would do is tested where it is done; here only that the target exists and has a recipe.
      target=${command#make}
      # shellcheck disable=SC2086
      if (cd "$top" && make --no-print-directory -n $target) >"$tmp/out" 2>&1; then pass "$name (make -n)"; else fail "$name" "$(tail -n 1 "$tmp/out")"; fi
      return ;;
    sbatch\ *)
      file=$(grep -oE '[^ ]+\.sbatch' <<<"$command" | head -n 1)
      if [ -f "$work/$file" ]; then skip "$name" "tests/slurm.sh submits them"; else fail "$name" "there is no $file"; fi
      return ;;
    cargo\ *)
      [ -n "$real_cargo" ] || { skip "$name" "no cargo in PATH"; return; }
      seconds=$build_deadline ;;
    *mpirun\ *) command -v mpirun >/dev/null || { skip "$name" "no mpirun in PATH"; return; } ;;
  esac
  execute "$seconds" "$command"
  status=$?
  if [ "$status" = "$expected" ]; then pass "$name"; return; fi
  [ "$status" != 124 ] || status="124 (over $seconds s)"
  fail "$name" "exit status $status, expected $expected; its output ends:"
  tail -n 6 "$tmp/out" | sed 's/^/     | /'
}

run_page() {
  local line text
  while IFS=$'\t' read -r line text; do run_command "$line" "$text"; done < <(commands "$1")
}

# --- the rules themselves ------------------------------------------------------------------------------------------------------

check() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got '$2', expected '$3'"; fi; }

self_check() {
  prepare
  page=$tmp/page.md
  # shellcheck disable=SC2016   # the page is text
  printf '%s\n' '# A page' '```sh' '# a comment' 'export WORD="a b"   # kept' '[ "$WORD" = "a b" ]' 'false # exit 1' 'exit 3' 'echo "#1" >one' '```' \
    '```text' 'rm -rf nothing' '```' '```console' '$ cat one' 'output' '$ sleep 30' '```' '```bash' 'false' '```' \
    '[a](#a-page) [b](#b) [c](page.md) [d](gone.md)' 'sbatch is only text here' '```sh' 'sbatch slurm/none.sbatch' 'sbatch slurm/scaling.sbatch' 'make no-such-target' 'make help' '```' '```sh' >"$page"
  local got
  check "commands are found" "$(commands "$page" | wc -l)" 13
  check "a page with faults" "$(broken_links "$page" | tr '\n' ' ')" "#b gone.md "
  deadline=3
  got=$(run_page "$page" | grep -oE '^(PASS|FAIL|SKIP) line [0-9]+' | sed -E 's/ line /:/' | tr '\n' ' ')
  check "each is judged" "$got" "PASS:4 PASS:5 PASS:6 FAIL:7 PASS:8 PASS:14 FAIL:16 FAIL:18 FAIL:24 SKIP:25 FAIL:26 PASS:27 FAIL:29 "
}

case $mode in
  list) commands "$page" | cut -f2; exit ;;
  self) self_check ;;
  run)
    [ -x "$top/goai-rs" ] || { fail binary "no ./goai-rs in $top: run make first"; echo "readme: $passed passed, $failed failed, $skipped skipped"; exit 1; }
    prepare
    run_page "$page"
    for file in "$top"/*.md "$top"/docs/*.md "$top"/docs/adr/*.md "$top"/slurm/*.md "$top"/datasets/*.md; do
      [ -e "$file" ] || continue
      broken=$(broken_links "$file" | tr '\n' ' ')
      if [ -z "$broken" ]; then pass "links of ${file#"$top/"}"; else fail "links of ${file#"$top/"}" "no $broken"; fi
    done ;;
esac
echo "readme: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
