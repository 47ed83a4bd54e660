#!/bin/sh
# Installs Edgeplane's pool on a GPU host and starts it. The edge serves this script with its archive:
#
#   curl -fsSL https://edge.example.com/pool/install.sh |
#     EDGEPLANE_URL=https://edge.example.com EDGEPLANE_POOL_TOKEN=epp_… sh
#
# It needs curl, tar, sha256sum and Python 3.8 or newer. It runs as root or not, with systemd or without. All of it lies
# in one folder.
#
#   EDGEPLANE_POOL_DIR   that folder (root: /opt/edgeplane-pool; else ~/.edgeplane-pool)
#   EDGEPLANE_MODELS     the folder of the models (models/ in that folder)
#   EDGEPLANE_START      systemd, background, foreground (for containers: stays), or no (default: systemd where it runs
#                        and this is root, else background)
#   EDGEPLANE_NPM_REGISTRY  where Node comes from when the host has none that is new enough (https://registry.npmjs.org)
#
# It keeps every EDGEPLANE_… variable that is set for the pool, but for keys of clients and operators. A second run
# upgrades: the pool drains and starts anew.
set -eu

SHA256=@SHA256@
VERSION=@VERSION@
NODE_VERSION=@NODE_VERSION@
NODE_SHA512_x64=@NODE_SHA512_x64@
NODE_SHA512_arm64=@NODE_SHA512_arm64@

say() { echo "edgeplane-pool: $*"; }
fail() { echo "edgeplane-pool: $*" >&2; exit 1; }
usage() { echo "edgeplane-pool: $*" >&2; exit 2; }

[ -n "${EDGEPLANE_URL:-}" ] || usage "set EDGEPLANE_URL to the edge's address, such as https://edge.example.com"
[ -n "${EDGEPLANE_POOL_TOKEN:-}" ] || usage "set EDGEPLANE_POOL_TOKEN to a pool token (the operator makes one: edgeplane pool-tokens create)"
EDGEPLANE_URL=${EDGEPLANE_URL%/}
for tool in curl tar sha256sum; do command -v "$tool" >/dev/null || fail "$tool is missing: install it"; done
python=${EDGEPLANE_PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || fail "models need Python 3.8 or newer: install python3, or name one with EDGEPLANE_PYTHON"
"$python" -c 'import ensurepip, venv' 2>/dev/null || say "note: $python has no venv; models with requirements need it (Debian: python3-venv)"

if [ "$(id -u)" = 0 ]; then home=/opt/edgeplane-pool; else home=$HOME/.edgeplane-pool; fi
home=${EDGEPLANE_POOL_DIR:-$home}
release=$home/releases/$VERSION
mkdir -p "$home/releases" "$home/models" "$home/state"
chmod 700 "$home/state"

# The archive, unless this release is there.
if [ ! -f "$release/main.mjs" ]; then
  draft=$home/releases/.draft.$$
  trap 'rm -rf "$draft"' EXIT
  mkdir -p "$draft"
  say "fetching $EDGEPLANE_URL/pool/edgeplane-pool.tar.gz"
  curl -fsSL --retry 3 -o "$draft/archive" "$EDGEPLANE_URL/pool/edgeplane-pool.tar.gz" || fail "the archive could not be fetched from $EDGEPLANE_URL"
  echo "$SHA256  $draft/archive" | sha256sum -c - >/dev/null 2>&1 || fail "the archive is not what this script belongs to: fetch both again"
  tar -xzf "$draft/archive" -C "$draft"
  rm -rf "$release"
  mv "$draft/edgeplane-pool" "$release"
fi

# Node: the host's where it is new enough, else from npm's registry.
is_new() { "$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(+a > 22 || (+a === 22 && +b >= 18) ? 0 : 1)' 2>/dev/null; }
node=$home/node-$NODE_VERSION/bin/node
if command -v node >/dev/null && is_new "$(command -v node)"; then
  node=$(command -v node)
elif ! { [ -x "$node" ] && is_new "$node"; }; then
  case "$(uname -m)" in
    x86_64 | amd64) arch=x64 sha512=$NODE_SHA512_x64 ;;
    aarch64 | arm64) arch=arm64 sha512=$NODE_SHA512_arm64 ;;
    *) fail "no Node is at hand for $(uname -m): install Node 22.18 or newer" ;;
  esac
  registry=${EDGEPLANE_NPM_REGISTRY:-https://registry.npmjs.org}
  say "fetching Node $NODE_VERSION"
  curl -fsSL --retry 3 -o "$home/.node.tgz" "${registry%/}/node-linux-$arch/-/node-linux-$arch-$NODE_VERSION.tgz" || fail "Node could not be fetched: install Node 22.18 or newer, or name a registry with EDGEPLANE_NPM_REGISTRY"
  echo "$sha512  $home/.node.tgz" | sha512sum -c - >/dev/null 2>&1 || fail "what was fetched is not Node $NODE_VERSION as it was published"
  mkdir -p "$home/node-$NODE_VERSION"
  tar -xzf "$home/.node.tgz" --strip-components=1 -C "$home/node-$NODE_VERSION"
  rm -f "$home/.node.tgz"
  is_new "$node" || fail "the Node that was fetched doesn't run here (glibc 2.28 or newer is needed): install Node 22.18 or newer"
fi

# Settings: what was set at the last run, and what is set now.
settings=$home/pool.env
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }
umask 077
touch "$settings"
for name in $(env | sed -n 's/^\(EDGEPLANE_[A-Z_]*\)=.*/\1/p'); do
  case "$name" in EDGEPLANE_POOL_DIR | EDGEPLANE_START | EDGEPLANE_NPM_REGISTRY | EDGEPLANE_API_KEY | EDGEPLANE_ADMIN_KEY) continue ;; esac
  value=
  eval "value=\$$name"
  grep -v "^export $name=" "$settings" >"$settings.new" || true
  echo "export $name=$(quoted "$value")" >>"$settings.new"
  mv "$settings.new" "$settings"
done
umask 022
ln -sfn "$node" "$home/node"
ln -sfn "$release" "$home/current.new" && mv -Tf "$home/current.new" "$home/current"
cp "$release/edgeplane-pool" "$home/edgeplane-pool.new" && mv -f "$home/edgeplane-pool.new" "$home/edgeplane-pool"
say "release $VERSION is in $home"

start=${EDGEPLANE_START:-}
if [ -z "$start" ]; then
  if [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ]; then start=systemd; else start=background; fi
fi
case "$start" in
  systemd) exec "$home/edgeplane-pool" service ;;
  background) exec "$home/edgeplane-pool" restart ;;
  foreground) exec "$home/edgeplane-pool" run ;;
  no) say "start it with $home/edgeplane-pool start" ;;
  *) usage "EDGEPLANE_START is systemd, background, foreground or no" ;;
esac
