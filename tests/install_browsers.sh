#!/usr/bin/env bash
# Install Chromium, Firefox and node for the tests of the page, and their npm packages; with the
# argument "node", node and the packages only. Debian packages are installed only as root.
# Tests that miss something skip with the reason.
set -u
cd "$(dirname "$0")/.."
missing=""
need() { # package, then the commands of which one is enough
  local package="$1"
  shift
  for name in "$@"; do command -v "$name" >/dev/null && return; done
  missing="$missing $package"
}
if [ "${1:-}" != node ]; then
  need chromium chromium chromium-browser google-chrome
  need firefox-esr firefox-esr firefox
fi
need nodejs node
need npm npm
if [ -n "$missing" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    echo "Installing for the tests of the page:$missing ..."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 \
      || echo "Could not be installed:$missing. Tests that need it will skip."
  else
    echo "Missing here, with no right to install it:$missing. Tests that need it will skip."
  fi
fi
if command -v npm >/dev/null && ! cmp -s package-lock.json node_modules/.installed; then
  if npm ci --no-audit --no-fund >/dev/null 2>&1; then
    cp package-lock.json node_modules/.installed
  else
    echo "npm ci failed. Tests that need its packages will skip."
  fi
fi
exit 0
