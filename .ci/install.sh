#!/usr/bin/env bash
# What action.yml does: installs the release VERSION of GH_REPO, or its newest one, and names the STAGE for the steps that follow.
set -euo pipefail

: "${GITHUB_ENV:?}" "${GITHUB_OUTPUT:?}" "${GITHUB_PATH:?}" "${RUNNER_TEMP:?}"
export GH_REPO="${GH_REPO:-${GITHUB_REPOSITORY:?}}"

fail() {
    echo "::error::$*" >&2
    exit 1
}

# What is written for the steps that follow is one line.
LC_ALL=C
case "${STAGE:-}" in
*[!a-z0-9-]*) fail "stage $STAGE is not of lower-case letters, digits and hyphens" ;;
esac

case "$(uname -s)-$(uname -m)" in
Linux-x86_64)
    if ldd /bin/sh 2>&1 | grep -q musl; then target=x86_64-unknown-linux-musl; else target=x86_64-unknown-linux-gnu; fi
    ;;
Linux-aarch64) target=aarch64-unknown-linux-gnu ;;
Darwin-arm64) target=aarch64-apple-darwin ;;
Darwin-x86_64) target=x86_64-apple-darwin ;;
*) fail "no release of taskctl is built for $(uname -s) on $(uname -m)" ;;
esac

tag=${VERSION:-}
if [ -n "$tag" ]; then
    tag="v${tag#v}"
else
    tag=$(gh release view --json tagName --jq .tagName) || fail "$GH_REPO has no release"
fi
name="taskctl-$tag-$target"
folder="$RUNNER_TEMP/taskctl"
mkdir -p "$folder"
cd "$folder"
gh release download "$tag" --clobber --pattern "$name.tar.gz" --pattern SHA256SUMS ||
    fail "release $tag of $GH_REPO has no $name.tar.gz"

sum() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi; }
expected=$(awk -v name="$name.tar.gz" '$2 == name { print $1 }' SHA256SUMS)
found=$(sum "$name.tar.gz" | cut -d ' ' -f 1)
[ -n "$expected" ] && [ "$expected" = "$found" ] || fail "$name.tar.gz does not have the checksum that SHA256SUMS names"

tar -xzf "$name.tar.gz"
echo "$folder/$name" >>"$GITHUB_PATH"
echo "version=${tag#v}" >>"$GITHUB_OUTPUT"
# Groups and annotations, as the runner reads them.
echo "TASKCTL_OUTPUT=github" >>"$GITHUB_ENV"
if [ -n "${STAGE:-}" ]; then echo "TASKCTL_STAGE=$STAGE" >>"$GITHUB_ENV"; fi
"$folder/$name/taskctl" --version
