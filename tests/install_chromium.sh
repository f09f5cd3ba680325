#!/usr/bin/env bash
# Chromium for the browser tests, where apt is there and the tests run as root. Elsewhere
# those tests use the Chromium that is installed, or skip and say so.
set -u
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "No Chromium here and no right to install one: the browser tests will skip."
  exit 0
fi
echo "Installing Chromium for the browser tests ..."
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 \
  || echo "Chromium could not be installed: the browser tests will skip."
exit 0
