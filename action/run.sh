#!/usr/bin/env bash
# What action.yml runs: one verb of reconciler; then the job's summary, the outputs, and the pull request's comment.
# Everything comes in by the environment: nothing that a pull request can choose is ever part of a command.
set -euo pipefail

bin="$RUNNER_TEMP/reconciler/bin"
work=$(mktemp -d "$RUNNER_TEMP/plan.XXXXXX")
# -I: nothing of the repository that is checked out is taken for a module.
github() { "$bin/python" -I "$ACTION_PATH/action" "$@"; }
reconciler() { "$bin/python" -I -m reconciler.cli "$@"; }

cd "$INPUT_DIRECTORY"
read -r -d '' -a more <<<"$INPUT_ARGUMENTS" || true # words, on as many lines as they are written
key=${INPUT_COMMENT_KEY:-$(git rev-parse --show-prefix 2>/dev/null || true)$INPUT_FILE}
shown="$work/shown.md"
errors="$work/errors.txt"
text="$work/text.txt"
code=0
: >"$shown"
: >"$text"

case "$INPUT_COMMAND" in
  plan)
    plan() {
      reconciler plan -f "$INPUT_FILE" -o markdown --detailed-exitcode --out "$work/plan.json" ${more[@]+"${more[@]}"} "$@" \
        >"$shown" 2>"$errors"
    }
    plan || code=$?
    allowed=""
    [[ ! -s $work/plan.json ]] || allowed=$(github allowance "$work/plan.json")
    if [[ -n $allowed ]]; then # the label allows what this plan destroys, and no more: the allowance is in its hash
      rm "$work/plan.json"
      code=0
      plan --allow-destroy "$allowed" || code=$?
    fi
    ;;
  drift)
    reconciler drift -f "$INPUT_FILE" -o markdown --detailed-exitcode ${more[@]+"${more[@]}"} >"$shown" 2>"$errors" || code=$?
    ;;
  diff)
    base=${INPUT_BASE:-origin/${GITHUB_BASE_REF:-HEAD}}
    reconciler diff "git:$base:$(git rev-parse --show-prefix)$INPUT_FILE" "$INPUT_FILE" \
      -o markdown --detailed-exitcode ${more[@]+"${more[@]}"} >"$shown" 2>"$errors" || code=$?
    ;;
  validate)
    reconciler validate -f "$INPUT_FILE" ${more[@]+"${more[@]}"} >"$text" 2>"$errors" || code=$?
    ;;
  apply)
    consent=(--yes)
    if [[ $INPUT_EXPECT_PLAN == from-comment ]]; then
      approved=$(github approved --key "$key" --author "$INPUT_COMMENT_AUTHOR" 2>"$errors") || code=$?
      read -r approval allowed <<<"$approved"
      consent=(--expect-plan "$approval")
      [[ -z $allowed ]] || more+=(--allow-destroy "$allowed")
    elif [[ -n $INPUT_EXPECT_PLAN ]]; then
      consent=(--expect-plan "$INPUT_EXPECT_PLAN")
    fi
    if [[ $code == 0 ]]; then # an apply may take long, so what it says is shown as it comes, and kept
      {
        {
          reconciler apply -f "$INPUT_FILE" "${consent[@]}" ${more[@]+"${more[@]}"} || code=$?
          echo "$code" >"$work/code"
        } 2>&1 1>&3 | tee "$errors" >&2
      } 3>&1 | tee "$text"
      code=$(<"$work/code")
    else
      cat "$errors" >&2
    fi
    ;;
  *)
    echo "::error title=reconciler::the action has no such command; it is plan, apply, diff, drift or validate"
    exit 64
    ;;
esac

[[ $INPUT_COMMAND == apply ]] || cat "$errors" >&2
if [[ -s $text ]]; then
  [[ $INPUT_COMMAND == apply ]] || cat "$text"
  github pre "$text" >"$shown"
fi
if [[ $code != 0 && $code != 2 && (! -s $shown || $INPUT_COMMAND == apply) ]]; then
  github pre --title "reconciler $INPUT_COMMAND ended with $code" "$errors" >>"$shown"
fi
cat "$shown" >>"$GITHUB_STEP_SUMMARY"
[[ -s $text ]] || cat "$shown"

hash=""
[[ -s $work/plan.json ]] && hash=$(github hash "$work/plan.json")
{
  echo "changes=$([[ $code == 2 ]] && echo true || echo false)"
  echo "plan-sha256=$hash"
  echo "exit-code=$code"
} >>"$GITHUB_OUTPUT"

if [[ $INPUT_LABELS == true && $INPUT_COMMAND == plan ]]; then
  github label "$work/plan.json"
fi

# One comment for each spec: what is reviewed in it is a plan, and nothing else takes its place.
if [[ $INPUT_COMMENT == true && ($INPUT_COMMAND == plan || $INPUT_COMMAND == diff) ]]; then
  only_update=()
  if [[ $INPUT_SKIP_WHEN_EMPTY == true && $code == 0 && $INPUT_COMMAND != apply ]]; then only_update=(--only-update); fi
  github comment --key "$key" --author "$INPUT_COMMENT_AUTHOR" --plan "$work/plan.json" \
    ${only_update[@]+"${only_update[@]}"} "$shown"
fi
[[ $code == 0 || $code == 2 ]] || exit "$code"
