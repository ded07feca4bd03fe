#!/usr/bin/env bash
# Tries both scripts on a machine with nothing on it: a fresh Debian or Ubuntu in a temporary folder (mmdebstrap, chroot),
# a clean clone of the last commit, ./quickstart.sh, ./quickstart.sh again, ./test.sh. Prints the times; removes everything.
#
#   scripts/fresh_machine.sh [bookworm|trixie|noble] [--only quickstart|test] [--keep]
#
# Needs root and mmdebstrap. Packages come from where this machine's apt gets them; FRESH_MIRROR overrides the address,
# which noble needs on a Debian machine whose mirror has no Ubuntu beside it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite=bookworm
only=
keep=false
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
if [ "$(id -u)" -ne 0 ]; then
  echo "fresh_machine: needs root, for a chroot" >&2
  exit 2
fi
for program in mmdebstrap chroot git; do
  command -v "$program" >/dev/null 2>&1 || {
    echo "fresh_machine: needs $program (apt-get install mmdebstrap git)" >&2
    exit 2
  }
done

work=$(mktemp -d "${TMPDIR:-/var/tmp}/megalith-fresh.XXXXXX")
root=$work/root
mounted=()
clean_up() {
  local index
  for ((index = ${#mounted[@]} - 1; index >= 0; index--)); do umount -l "${mounted[index]}" || true; done
  if $keep; then
    echo "kept: $root"
  elif ! mountpoint -q "$root/proc" && ! mountpoint -q "$root/dev"; then
    rm -rf --one-file-system "$work"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# The first address that this machine's apt uses.
host_mirror() {
  local lists
  lists=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null || true)
  sed -n -e 's/^URIs: *\([^ ]*\).*/\1/p' -e 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' <<<"$lists" | sed -n 1p
}
mirror=${FRESH_MIRROR:-$(host_mirror)}
mirror=${mirror%/}
security=()
case $suite in
  noble)
    components="main universe"
    mirror=${FRESH_MIRROR:-${mirror%/debian}/ubuntu}
    ;;
  *)
    components=main
    if [ -z "${FRESH_MIRROR:-}" ] && [ "${mirror##*/}" = debian ]; then
      security=("deb $mirror-security $suite-security main")
    fi
    ;;
esac

echo "== A fresh $suite"
started=$SECONDS
options=()
keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
if [ "$suite" = noble ] && [ -r "$keyring" ]; then options+=("--keyring=$keyring"); fi
# This machine's apt settings (proxies, tolerance of old snapshots) hold for the fresh one too.
apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date|Retries) ' >"$work/apt.conf" || true
options+=("--aptopt=$work/apt.conf")
printf '%s\n' "deb $mirror $suite $components" ${security[@]+"${security[@]}"} >"$work/sources.list"
mmdebstrap --quiet --variant=apt --include=ca-certificates,git "${options[@]}" "$suite" "$root" "$work/sources.list" \
  >"$work/mmdebstrap.log" 2>&1 || {
  tail -n 8 "$work/mmdebstrap.log" >&2
  echo "fresh_machine: mmdebstrap could not make $suite" >&2
  exit 1
}
echo "made in $((SECONDS - started)) s"

cp "$work/apt.conf" "$root/etc/apt/apt.conf.d/99fresh"
if [ -r /etc/resolv.conf ]; then cp -L /etc/resolv.conf "$root/etc/resolv.conf"; fi
for folder in proc sys dev; do
  mount --rbind "/$folder" "$root/$folder"
  mount --make-rslave "$root/$folder"
  mounted+=("$root/$folder")
done
# A space in the path, because somebody's home has one.
git clone --quiet --no-hardlinks . "$root/root/a clone"

inside() {
  env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C \
    ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} ${no_proxy:+"no_proxy=$no_proxy"} \
    chroot "$root" /bin/bash -c "cd '/root/a clone' && $1" </dev/null
}
failures=0
# try NAME COMMAND: the time it took and its exit code, its output indented.
try() {
  local begin=$SECONDS code=0
  echo "== $1"
  inside "$2" 2>&1 | sed 's/^/   /' || code=${PIPESTATUS[0]}
  echo "== $1: exit $code after $((SECONDS - begin)) s"
  if [ "$code" -ne 0 ]; then failures=$((failures + 1)); fi
}
if [ "$only" != test ]; then
  try "quickstart without installing says what is missing" "! ./quickstart.sh --no-install"
  try "quickstart" "./quickstart.sh"
  try "quickstart again" "./quickstart.sh"
fi
if [ "$only" != quickstart ]; then try "test" "./test.sh"; fi
echo "== $suite: $failures of the above failed, $((SECONDS - started)) s in all"
[ "$failures" -eq 0 ]
