#!/usr/bin/env bash
# Chromium and node for the tests of the page, where apt is there and they run as root. Elsewhere
# those tests use what is installed, or skip and say so.
set -u
missing="chromium nodejs"
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && missing="${missing/chromium/}"
done
command -v node >/dev/null && missing="${missing/nodejs/}"
[ -n "${missing// /}" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "Missing here, with no right to install it: $missing. Tests that need it will skip."
  exit 0
fi
echo "Installing for the tests of the page: $missing ..."
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 \
  || echo "Could not be installed: $missing. Tests that need it will skip."
exit 0
