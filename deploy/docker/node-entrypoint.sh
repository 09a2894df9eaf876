#!/bin/sh
# Starts a Chroma server. Releases from 1.0 on read none of the older variables, so they are given as arguments here.
set -eu

case "${IS_PERSISTENT:-TRUE}" in
  [Tt][Rr][Uu][Ee] | 1) ;;
  *)
    echo 'IS_PERSISTENT must be TRUE: a node that forgets its content would have to be rebuilt at each start.' >&2
    exit 1
    ;;
esac
if [ -n "${INSTANCE_ROLE:-}" ]; then
  echo 'INSTANCE_ROLE is ignored: the leader of the gateways decides which node is the primary.' >&2
fi

exec chroma run \
  --path "${PERSIST_DIRECTORY:-${CHROMA_PERSIST_DIRECTORY:-/data}}" \
  --host "${CHROMA_SERVER_HOST:-0.0.0.0}" \
  --port "${CHROMA_SERVER_HTTP_PORT:-${PORT:-8000}}"
