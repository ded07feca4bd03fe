#!/usr/bin/env bash
# Tries both scripts on a machine with nothing on it: a fresh Debian or Ubuntu in a temporary folder (mmdebstrap, chroot),
# a clean clone of the last commit, ./quickstart.sh, ./quickstart.sh again, ./test.sh. Prints the times; removes everything.
#
#   scripts/fresh_machine.sh [bookworm|trixie|noble] [--only quickstart|test] [--keep]
#
# Needs root and mmdebstrap; scripts/chroot.sh tells where packages come from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/chroot.sh
. scripts/chroot.sh

suite=bookworm
only=
while [ $# -gt 0 ]; do
  case $1 in
    bookworm | trixie | noble) suite=$1 ;;
    --only)
      only=${2:-}
      shift
      ;;
    --keep) keep=true ;;
    *)
      echo "usage: scripts/fresh_machine.sh [bookworm|trixie|noble] [--only quickstart|test] [--keep]" >&2
      exit 2
      ;;
  esac
  shift
done

started=$SECONDS
make_chroot fresh_machine "$suite" ca-certificates,git
# A space in the path, because somebody's home has one.
git clone --quiet --no-hardlinks . "$root/root/a clone"
in_clone="cd '/root/a clone' &&"

if [ "$only" != test ]; then
  try "quickstart without installing says what is missing" "$in_clone ! ./quickstart.sh --no-install"
  try "quickstart" "$in_clone ./quickstart.sh"
  try "quickstart again" "$in_clone ./quickstart.sh"
fi
if [ "$only" != quickstart ]; then try "test" "$in_clone ./test.sh"; fi
echo "== $suite: $failures of the above failed, $((SECONDS - started)) s in all"
[ "$failures" -eq 0 ]
