#!/usr/bin/env bash
# Rebuilds programs/assay.so and idl/*.json from the sources and fails, naming the difference, when what is committed
# is not what they give. Keeps its build in target/check.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/check}
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

ASSAY_SO=$fresh/assay.so "$root/programs/toolchain/build.sh" --quiet
"$root/programs/toolchain/idl.py" "$fresh/idl"

differs=0
if ! cmp "$root/programs/assay.so" "$fresh/assay.so"; then
    echo "programs/assay.so ($(sha256sum < "$root/programs/assay.so" | cut -c1-16)) is not what the sources give" \
        "($(sha256sum < "$fresh/assay.so" | cut -c1-16)): run programs/toolchain/build.sh and commit it" >&2
    differs=1
fi
for name in assay.json assay.legacy.json; do
    if ! diff -u "$root/idl/$name" "$fresh/idl/$name" >&2; then
        echo "idl/$name is not what the sources give: run programs/toolchain/idl.py and commit it" >&2
        differs=1
    fi
done
exit $differs
