#!/usr/bin/env bash
# What action.yml runs: one verb of reconciler; then the job's summary, the outputs, and the pull request's comment.
# Everything comes in by the environment: nothing that a pull request can choose is ever part of a command.
set -euo pipefail

bin="$RUNNER_TEMP/reconciler/bin"
work=$(mktemp -d "$RUNNER_TEMP/plan.XXXXXX")
github() { "$bin/python" "$ACTION_PATH/action/github.py" "$@"; }

cd "$INPUT_DIRECTORY"
read -r -a more <<<"$INPUT_ARGUMENTS"
key=${INPUT_COMMENT_KEY:-$(git rev-parse --show-prefix 2>/dev/null || true)$INPUT_FILE}
shown="$work/shown.md"
errors="$work/errors.txt"
code=0

case "$INPUT_COMMAND" in
  plan)
    "$bin/reconciler" plan -f "$INPUT_FILE" -o markdown --detailed-exitcode --out "$work/plan.json" "${more[@]}" \
      >"$shown" 2>"$errors" || code=$?
    ;;
  drift)
    "$bin/reconciler" drift -f "$INPUT_FILE" -o markdown --detailed-exitcode "${more[@]}" >"$shown" 2>"$errors" || code=$?
    ;;
  diff)
    base=${INPUT_BASE:-origin/${GITHUB_BASE_REF:-HEAD}}
    "$bin/reconciler" diff "git:$base:$(git rev-parse --show-prefix)$INPUT_FILE" "$INPUT_FILE" \
      -o markdown --detailed-exitcode "${more[@]}" >"$shown" 2>"$errors" || code=$?
    ;;
  validate)
    "$bin/reconciler" validate -f "$INPUT_FILE" "${more[@]}" >"$work/text.txt" 2>"$errors" || code=$?
    github pre "$work/text.txt" >"$shown"
    ;;
  apply)
    consent=(--yes)
    if [[ $INPUT_EXPECT_PLAN == from-comment ]]; then
      expected=$(github approved --key "$key" --author "$INPUT_COMMENT_AUTHOR") || exit 1
      consent=(--expect-plan "$expected")
    elif [[ -n $INPUT_EXPECT_PLAN ]]; then
      consent=(--expect-plan "$INPUT_EXPECT_PLAN")
    fi
    : >"$errors" # an apply may take long, so what it says is shown as it comes
    "$bin/reconciler" apply -f "$INPUT_FILE" "${consent[@]}" "${more[@]}" | tee "$work/text.txt" || code=${PIPESTATUS[0]}
    github pre "$work/text.txt" >"$shown"
    ;;
  *)
    echo "::error title=reconciler::the action has no such command; it is plan, apply, diff, drift or validate"
    exit 64
    ;;
esac

cat "$errors" >&2
if [[ ! -s $shown ]]; then # it ended before it had anything to show
  github pre --title "reconciler $INPUT_COMMAND ended with $code" "$errors" >"$shown"
fi
cat "$shown" >>"$GITHUB_STEP_SUMMARY"
[[ $INPUT_COMMAND == validate || $INPUT_COMMAND == apply ]] || cat "$shown"

hash=""
[[ -s $work/plan.json ]] && hash=$(github hash "$work/plan.json")
{
  echo "changes=$([[ $code == 2 ]] && echo true || echo false)"
  echo "plan-sha256=$hash"
  echo "exit-code=$code"
} >>"$GITHUB_OUTPUT"

if [[ $INPUT_COMMENT == true && $INPUT_COMMAND != apply ]]; then
  github comment --key "$key" --hash "$hash" "$shown"
fi
[[ $code == 0 || $code == 2 ]] || exit "$code"
