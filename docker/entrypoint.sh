#!/bin/sh
# Run reconciler as the owner of the working directory: it may then read the checkout that is mounted there, and write
# its plan into it, and the plan belongs to the owner. As another user (`docker run --user`) it runs as that user.
set -eu
if [ "$(id -u)" = 0 ] && [ "$(stat -c %u .)" != 0 ]; then
    exec setpriv --reuid "$(stat -c %u .)" --regid "$(stat -c %g .)" --clear-groups --no-new-privs reconciler "$@"
fi
exec reconciler "$@"
