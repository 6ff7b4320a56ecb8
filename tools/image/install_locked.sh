#!/bin/sh
# Install a package of this workspace, or only what it needs, as uv.lock has it, each file checked against its hash.
#   install_locked.sh dependencies NAME [--extra EXTRA]...   what the lock names for the package NAME
#   install_locked.sh packages FOLDER...                     the workspace's own packages, without dependencies
# PIP_INDEX_URL: an index in place of the public one. /run/secrets/ca: certificates of authorities for that index.
set -eu
what=$1
shift
if [ -s /run/secrets/ca ]; then
  SSL_CERT_FILE=/run/secrets/ca
  export SSL_CERT_FILE
fi
index=${PIP_INDEX_URL:+"--default-index=$PIP_INDEX_URL"}
target=/opt/penstock
[ -x "$target/bin/python" ] || uv venv --quiet "$target"
case $what in
  dependencies)
    name=$1
    shift
    uv export --frozen --quiet --no-default-groups --no-emit-workspace --package "$name" "$@" --output-file /tmp/locked.txt
    uv pip install --quiet --python "$target/bin/python" --require-hashes ${index:+"$index"} --requirements /tmp/locked.txt
    ;;
  packages)
    uv pip install --quiet --python "$target/bin/python" --no-deps ${index:+"$index"} "$@"
    ;;
esac
