#!/usr/bin/env bash
# Makes the Debian package of this checkout, for the release of Debian or Ubuntu it runs on: build/package/megalith_*.deb.
#
#   scripts/package.sh [--no-install]
#
#   --no-install   never touch the system; missing packages are listed by name
#
# MEGALITH_PACKAGE_CONTACT="Name <address>" names the maintainer of the package. The last line is the package's path.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

install_option=()
case ${1:-} in
  '') ;;
  --no-install) install_option=(--no-install) ;;
  *)
    echo "usage: scripts/package.sh [--no-install]" >&2
    exit 2
    ;;
esac
scripts/packages.sh build --no-text ${install_option[@]+"${install_option[@]}"}
command -v dpkg-shlibdeps >/dev/null 2>&1 || {
  echo "package: dpkg-shlibdeps is needed, to name the libraries' packages (apt-get install dpkg-dev)" >&2
  exit 2
}

build=build/package
configure=(--preset package)
if command -v ccache >/dev/null 2>&1; then configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
if [ -n "${MEGALITH_PACKAGE_CONTACT:-}" ]; then configure+=("-DMEGALITH_PACKAGE_CONTACT=$MEGALITH_PACKAGE_CONTACT"); fi
mkdir -p "$build"
rm -f "$build"/megalith_*.deb
for step in "cmake ${configure[*]@Q}" "cmake --build $build --parallel $(nproc)" "cmake --build $build --target package"; do
  eval "$step" >"$build/package.log" 2>&1 || {
    grep -E -A 12 'rror|FAILED' "$build/package.log" | head -n 40 >&2 || tail -n 30 "$build/package.log" >&2
    echo "package: $step failed; all of it: $build/package.log" >&2
    exit 1
  }
done
ls "$build"/megalith_*.deb
