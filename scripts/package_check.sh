#!/usr/bin/env bash
# Tries the Debian package on a machine with nothing on it: apt installs it from the file into a fresh Debian or Ubuntu,
# where somebody without rights uses it as README.md says; then apt removes it.
#
#   scripts/package_check.sh [bookworm|trixie|noble] [--package FILE.deb] [--keep]
#
# Without --package, scripts/package.sh makes it here, so the suite should be the release that this machine runs. Needs
# root and mmdebstrap; scripts/chroot.sh tells where packages come from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/chroot.sh
. scripts/chroot.sh

suite=bookworm
package=
while [ $# -gt 0 ]; do
  case $1 in
    bookworm | trixie | noble) suite=$1 ;;
    --package)
      package=${2:-}
      shift
      ;;
    --keep) keep=true ;;
    *)
      echo "usage: scripts/package_check.sh [bookworm|trixie|noble] [--package FILE.deb] [--keep]" >&2
      exit 2
      ;;
  esac
  shift
done

started=$SECONDS
require_chroot_tools package_check
if [ -z "$package" ]; then
  echo "== Making the package"
  made=$(scripts/package.sh)
  package=$(tail -n 1 <<<"$made")
fi
[ -r "$package" ] || {
  echo "package_check: no such file: $package" >&2
  exit 2
}
echo "$package: $(du -k "$package" | cut -f 1) KiB"

make_chroot package_check "$suite" ca-certificates,man-db,bash,zsh
cp "$package" "$root/root/megalith.deb"
chmod 755 "$root/root"
mkdir -m 777 "$root/tmp/work"
as_somebody="cd /tmp/work && runuser -u nobody -- env HOME=/tmp/work"
configs=/usr/share/megalith/configs

try "apt installs it" "apt-get update -qq && apt-get install -y -qq --no-install-recommends /root/megalith.deb"
try "what the package says" "dpkg-query -W -f '\${Package} \${Version} \${Architecture}\n\${Maintainer}\nDepends: \${Depends}\n' megalith"
try "every library is there" "! ldd /usr/bin/megalith | grep 'not found'"
try "doctor" "$as_somebody megalith doctor"
try "train, five steps" "$as_somebody megalith train $configs/runs/tiny.toml --run-dir run --set schedule.steps=5 --set schedule.warmup=1"
# From a folder of one's own: beside the package's run configs the presets would be found without a search.
try "a preset is found by its name" "$as_somebody cp $configs/runs/tiny.toml mine.toml &&
  $as_somebody megalith train mine.toml --run-dir llama --set schedule.steps=1 --set schedule.warmup=0 \
  --set sample.tokens=0 --set model.preset=llama3.2-1b --set model.layers=1 --set model.hidden=32 --set model.heads=2 \
  --set model.kv_heads=1 --set model.head_size=0 --set model.feed_forward=64 --set model.vocabulary=64 \
  --set model.sequence=64 && grep -q 'norm = \"rmsnorm\"' llama/config.toml"
try "generate" "$as_somebody megalith generate run --prompt-ids 1,2,3 --max-tokens 5"
try "man megalith" "man --warnings megalith 2>&1 | grep -A 2 '^NAME' && whatis megalith"
try "bash completes" "source /usr/share/bash-completion/completions/megalith && COMP_WORDS=(megalith tr) COMP_CWORD=1 &&
  { _megalith 2>/dev/null; [ \"\${COMPREPLY[*]}\" = train ]; }"
try "zsh completes" "zsh -fc 'autoload -U compinit && compinit -u -D && [[ \$_comps[megalith] == _megalith ]]'"
try "the licence is there" "test -s /usr/share/doc/megalith/copyright && test -s /usr/share/doc/megalith/LICENSE"
try "apt removes it, and nothing stays" "apt-get purge -y -qq megalith && [ -z \"\$(find /usr /etc /var/lib -name '*megalith*' \
  -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*')\" ]"
echo "== $suite: $failures of the above failed, $((SECONDS - started)) s in all"
[ "$failures" -eq 0 ]
