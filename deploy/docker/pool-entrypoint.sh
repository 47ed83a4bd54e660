#!/bin/sh
# Installs, or upgrades to, the pool that the edge serves, and becomes it: SIGTERM drains.
set -eu

if [ -z "${EDGEPLANE_URL:-}" ]; then
  echo "edgeplane-pool: set EDGEPLANE_URL to the edge's address, such as https://edge.example.com" >&2
  exit 2
fi
script=$(curl -fsSL --retry 5 --retry-connrefused "${EDGEPLANE_URL%/}/pool/install.sh") || {
  echo "edgeplane-pool: $EDGEPLANE_URL answers with no installer" >&2
  exit 1
}
exec sh -c "$script"
