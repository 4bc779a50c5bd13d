#!/usr/bin/env bash
# What action.yml runs first: an environment of its own for reconciler, from files whose hashes are known.
# It is made elsewhere than in the repository that is checked out: a `venv.py` or `pip.py` there must not be run.
set -euo pipefail

for name in $(compgen -e); do # no token is needed here, so none is here
  case "$name" in
    FLY_* | *TOKEN* | *PASSWORD* | *SECRET*) unset "$name" ;;
  esac
done

python=$(command -v "$PYTHON")
[[ $python == /* ]] || python="$PWD/$python"
cd "$RUNNER_TEMP"
"$python" -I -m venv "$RUNNER_TEMP/reconciler"

pip() { "$RUNNER_TEMP/reconciler/bin/python" -I -m pip install --quiet --disable-pip-version-check "$@"; }
pip --only-binary :all: --require-hashes -r "$ACTION_PATH/requirements/run.txt" -r "$ACTION_PATH/requirements/build.txt"
pip --no-deps --no-build-isolation "$ACTION_PATH"
