#!/usr/bin/env bash
# Whether everything compiles for a processor that is no x86-64, as the boards with ARM processors are.
#
# Where the compiler has the target it is asked directly. Elsewhere a copy of the source, in which no condition on x86-64
# holds, is checked on this machine: what is left is the portable path.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
target=aarch64-unknown-linux-gnu
if rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    exec cargo check --locked --quiet --no-default-features --target "$target"
fi
echo "check_portable.sh: no target $target here; checking the source without its conditions on x86-64 instead" >&2
copy="$CARGO_TARGET_DIR/portable-source"
rm -rf "$copy"
mkdir -p "$copy"
cp -r Cargo.toml Cargo.lock src datasets devices docs .irisenv .imgenv "$copy"
grep -rl 'target_arch = "x86_64"' "$copy/src" | xargs sed -i 's/target_arch = "x86_64"/target_arch = "sparc"/g'
# Tests and benchmarks stay behind: the library and the program are what a board runs.
sed -i '/^\[\[test\]\]$/,/^$/d; /^\[\[bench\]\]$/,/^$/d; s/^name = "goai-rs"$/name = "goai-rs-portable"/' "$copy/Cargo.toml"
sed -i '/^\[\[bin\]\]$/,/^$/d' "$copy/Cargo.toml"
sed -i 's/^name = "goai-rs"$/name = "goai-rs-portable"/' "$copy/Cargo.lock"
cargo check --quiet --no-default-features --manifest-path "$copy/Cargo.toml" --lib
echo "the portable path compiles"
