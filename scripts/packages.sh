#!/usr/bin/env bash
# The Debian and Ubuntu packages that Megalith needs, and installing those that are missing.
#
#   scripts/packages.sh build                 what quickstart.sh needs (about 100 MB)
#   scripts/packages.sh test                  that, and what test.sh needs
#   scripts/packages.sh list build|test       only prints the names
#   ... --no-text                             without The Jargon File: there is other text to train on
#   ... --no-install                          never touches the system: lists what is missing and exits 2
#
# Without root or sudo, without apt or without a network the missing packages are named and the exit code is 2.
set -euo pipefail

# docs/dependencies.md says what each is for.
build_packages=(
  g++ cmake ninja-build pkg-config
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev libexpected-dev
  zlib1g-dev libzstd-dev liblzma-dev libxxhash-dev libpcre2-dev libutf8proc-dev libsimdjson-dev
)
text_packages=(jargon-text)
test_packages=(libgtest-dev python3 binutils libopenmpi-dev openmpi-bin)

usage() {
  echo "usage: scripts/packages.sh [list] build|test [--no-text] [--no-install]" >&2
  exit 2
}

list_only=false
install=true
text=true
group=
for argument in "$@"; do
  case $argument in
    list) list_only=true ;;
    build | test) group=$argument ;;
    --no-install) install=false ;;
    --no-text) text=false ;;
    *) usage ;;
  esac
done
[ -n "$group" ] || usage

packages=("${build_packages[@]}")
if $text; then packages+=("${text_packages[@]}"); fi
if [ "$group" = test ]; then packages+=("${test_packages[@]}"); fi

if $list_only; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

# The names that are not installed. dpkg knows virtual and renamed packages only by Provides, so those are read too.
missing_packages() {
  local installed
  # shellcheck disable=SC2016  # the dollar signs are dpkg-query's
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' 2>/dev/null |
    sed -n 's/^installed //p' | sed 's/([^)]*)//g; s/:[a-z0-9]*//g; s/,/ /g' | tr -s ' ' '\n') || true
  for package in "${packages[@]}"; do
    grep -qxF -- "$package" <<<"$installed" || echo "$package"
  done
}

# A package may be there without its content, and a compiler without a package.
satisfied_otherwise() {
  case $1 in
    g++) command -v g++ || command -v c++ ;;
    python3) python3 -c 'import json, subprocess' ;; # python3-minimal has neither
    cmake | ninja-build | pkg-config | binutils)
      local program=$1
      case $1 in
        ninja-build) program=ninja ;;
        binutils) program="nm" ;;
      esac
      command -v "$program"
      ;;
    *) return 1 ;;
  esac >/dev/null 2>&1
}

missing=()
if command -v dpkg-query >/dev/null 2>&1; then
  while IFS= read -r package; do
    if ! satisfied_otherwise "$package"; then missing+=("$package"); fi
  done < <(missing_packages)
else
  echo "This is not Debian or Ubuntu: the packages that are needed cannot be looked up by name here." >&2
  echo "Needed, under the names of Debian: ${packages[*]}" >&2
  exit 0 # the configure step names what it does not find
fi
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

explain() {
  {
    echo "$1"
    echo "Missing packages:"
    printf '  %s\n' "${missing[@]}"
    echo "Install them with:"
    echo "  sudo apt-get install --no-install-recommends ${missing[*]}"
  } >&2
  exit 2
}

$install || explain "Nothing is installed, as asked (--no-install)."
command -v apt-get >/dev/null 2>&1 || explain "There is no apt-get here."

# Without a way out, apt would try for a minute to find that out.
is_offline() {
  [ -z "${http_proxy:-}${https_proxy:-}${HTTP_PROXY:-}${HTTPS_PROXY:-}" ] || return 1
  [ -r /proc/net/route ] || return 1
  ! awk 'NR > 1 && $2 == "00000000" { found = 1 } END { exit !found }' /proc/net/route || return 1
  ! awk '$1 ~ /^0+$/ && $2 == "00" && $10 != "lo" { found = 1 } END { exit !found }' /proc/net/ipv6_route 2>/dev/null || return 1
  ! apt-config dump 2>/dev/null | grep -qiE '^Acquire::https?::Proxy ' || return 1
  ! grep -rqsE '^[^#]*(file|cdrom|copy):/' /etc/apt/sources.list /etc/apt/sources.list.d
}
if is_offline; then explain "There is no network."; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || explain "Installing needs root, and there is no sudo here."
  if sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  elif [ -t 0 ]; then
    echo "sudo is needed to install: ${missing[*]}"
    as_root=(sudo)
  else
    explain "Installing needs root: sudo asks for a password, and there is no terminal to type it."
  fi
fi

export DEBIAN_FRONTEND=noninteractive
options=(-o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)

# True when apt knows every missing package; its lists may be older than the packages they name, so a failed download
# updates them too.
known_to_apt() { apt-cache show "${missing[@]}" >/dev/null 2>&1; }
install_missing() {
  "${as_root[@]}" apt-get "${options[@]}" install -y -qq --no-install-recommends "${missing[@]}" >"$log" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "Installing ${#missing[@]} packages: ${missing[*]}"
if ! known_to_apt || ! install_missing; then
  # The cleaned lists of a container image are the usual reason.
  "${as_root[@]}" apt-get "${options[@]}" update -qq >"$log" 2>&1 || {
    tail -n 5 "$log" >&2
    explain "apt-get update failed: is there a network?"
  }
  install_missing || {
    tail -n 5 "$log" >&2
    explain "apt-get install failed."
  }
fi
