#!/usr/bin/env bash
# Sourced by scripts that try something on a machine with nothing on it: a fresh Debian or Ubuntu in a temporary folder
# (mmdebstrap, chroot), removed at the end.
#
#   make_chroot NAME SUITE PACKAGES  sets root; NAME says who complains; SUITE: bookworm, trixie, noble; PACKAGES: a,b,c
#   inside COMMAND                   runs a bash command there, with an environment of its own
#   try WHAT COMMAND                 the same, output indented, with time and exit code; counts in failures
#
# keep=true leaves the folder. Needs root and mmdebstrap. Packages come from where this machine's apt gets them;
# FRESH_MIRROR overrides the address, which noble needs on a Debian machine whose mirror has no Ubuntu beside it.

keep=false
failures=0
work=
root=
mounted=()

clean_up_chroot() {
  local index
  for ((index = ${#mounted[@]} - 1; index >= 0; index--)); do umount -l "${mounted[index]}" || true; done
  if $keep; then
    echo "kept: $root"
  elif ! mountpoint -q "$root/proc" && ! mountpoint -q "$root/dev"; then
    rm -rf --one-file-system "$work"
  fi
}

# The first address that this machine's apt uses.
host_mirror() {
  local lists
  lists=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null || true)
  sed -n -e 's/^URIs: *\([^ ]*\).*/\1/p' -e 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\) .*/\2/p' <<<"$lists" | sed -n 1p
}

# The lines of sources.list for a suite.
package_sources() {
  local suite=$1 mirror=${FRESH_MIRROR:-$(host_mirror)}
  mirror=${mirror%/}
  if [ "$suite" = noble ]; then
    echo "deb ${FRESH_MIRROR:-${mirror%/debian}/ubuntu} $suite main universe"
    return
  fi
  echo "deb $mirror $suite main"
  if [ -z "${FRESH_MIRROR:-}" ] && [ "${mirror##*/}" = debian ]; then
    echo "deb $mirror-security $suite-security main"
  fi
}

require_chroot_tools() {
  local program
  if [ "$(id -u)" -ne 0 ]; then
    echo "$1: needs root, for a chroot" >&2
    exit 2
  fi
  for program in mmdebstrap chroot git; do
    command -v "$program" >/dev/null 2>&1 || {
      echo "$1: needs $program (apt-get install mmdebstrap git)" >&2
      exit 2
    }
  done
}

make_chroot() {
  local name=$1 suite=$2 packages=$3 begin=$SECONDS folder options=() keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg
  require_chroot_tools "$name"
  work=$(mktemp -d "${TMPDIR:-/var/tmp}/megalith-fresh.XXXXXX")
  root=$work/root
  trap clean_up_chroot EXIT
  trap 'exit 130' INT TERM
  echo "== A fresh $suite"
  if [ "$suite" = noble ] && [ -r "$keyring" ]; then options+=("--keyring=$keyring"); fi
  # This machine's apt settings (proxies, tolerance of old snapshots) hold for the fresh one too.
  apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date|Retries) ' >"$work/apt.conf" || true
  options+=("--aptopt=$work/apt.conf")
  package_sources "$suite" >"$work/sources.list"
  mmdebstrap --quiet --variant=apt --include="$packages" "${options[@]}" "$suite" "$root" "$work/sources.list" \
    >"$work/mmdebstrap.log" 2>&1 || {
    tail -n 8 "$work/mmdebstrap.log" >&2
    echo "$name: mmdebstrap could not make $suite" >&2
    exit 1
  }
  echo "made in $((SECONDS - begin)) s"
  cp "$work/apt.conf" "$root/etc/apt/apt.conf.d/99fresh"
  if [ -r /etc/resolv.conf ]; then cp -L /etc/resolv.conf "$root/etc/resolv.conf"; fi
  for folder in proc sys dev; do
    mount --rbind "/$folder" "$root/$folder"
    mount --make-rslave "$root/$folder"
    mounted+=("$root/$folder")
  done
}

inside() {
  env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C \
    ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} ${no_proxy:+"no_proxy=$no_proxy"} \
    chroot "$root" /bin/bash -c "$1" </dev/null
}

try() {
  local begin=$SECONDS code=0
  echo "== $1"
  inside "$2" 2>&1 | sed 's/^/   /' || code=${PIPESTATUS[0]}
  echo "== $1: exit $code after $((SECONDS - begin)) s"
  if [ "$code" -ne 0 ]; then failures=$((failures + 1)); fi
}
