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
key=${INPUT_COMMENT_KEY:-$(git rev-parse --show-prefix 2>/dev/null || true)$INPUT_FILE${INPUT_ENVIRONMENT:+-$INPUT_ENVIRONMENT}}
shown="$work/shown.md"
errors="$work/errors.txt"
text="$work/text.txt"
code=0
superseded_by=""
acts=false # whether it changes machines, and says so as it comes
case "$INPUT_COMMAND" in apply | destroy | sweep) acts=true ;; esac
: >"$shown"
: >"$text"
: >"$errors"

# Runs a verb that may take long: what it says is shown as it comes, and kept. On stdout is its report.
run_shown() {
  local ended=0
  {
    {
      reconciler "$1" -o markdown "${@:2}" || ended=$?
      echo "$ended" >"$work/code"
    } 2>&1 1>&3 | tee -a "$errors" >&2
  } 3>&1 | tee -a "$text"
  return "$(<"$work/code")"
}

# Whether the stack is the environment's own, so that what is done to it touches no other one.
owns() {
  reconciler validate -f "$INPUT_FILE" -o json >"$work/validation.json" 2>/dev/null || true
  github owns "$work/validation.json" 2> >(tee -a "$errors" >&2)
}

# Collects what was approved by the merges since the commit that was applied last.
approvals() {
  reconciler apply --dry-run -f "$INPUT_FILE" -o json ${more[@]+"${more[@]}"} >"$work/now.json" 2>"$errors" || code=$?
  if [[ ! -s $work/now.json ]] || grep -q '^  "error": ' "$work/now.json"; then return 1; fi
  code=0 # if it is blocked, the apply says so
  allowed=$(github approved --key "$key" --author "$INPUT_COMMENT_AUTHOR" --plan "$work/now.json" \
    --out "$work/approvals.txt" 2>"$errors") || return 1
  cat "$errors" >&2
  consent=(--expect-plan "@$work/approvals.txt")
  [[ -z $allowed ]] || more+=(--allow-destroy "$allowed")
}

apply() {
  if [[ -n $INPUT_ENVIRONMENT && -n ${GITHUB_HEAD_REF:-} ]] && ! owns; then # a pull request's, so a preview
    code=1
    return
  fi
  run_shown apply -f "$INPUT_FILE" "${consent[@]}" ${more[@]+"${more[@]}"} || code=$?
  superseded_by=$(sed -nE 's/^(### `[^`]*`: )?Superseded by (commit|revision) ([0-9a-f]+).*/\3/p' "$text")
}

# Destroys the stacks of the pull requests that are closed; {number} in the environment's name stands for theirs.
sweep() {
  local pattern=$INPUT_ENVIRONMENT number
  if [[ $pattern != *"{number}"* ]]; then
    echo "::error title=reconciler::sweep needs an environment with {number} in its name, such as pr-{number}" | tee "$errors"
    code=64
    return
  fi
  github closed >"$work/closed.txt" 2>"$errors" || code=$?
  while read -r number <&4; do
    export RECONCILER_ENVIRONMENT=${pattern//"{number}"/$number}
    echo "$RECONCILER_ENVIRONMENT:"
    { owns && run_shown destroy -f "$INPUT_FILE" --yes ${more[@]+"${more[@]}"}; } || code=1
  done 4<"$work/closed.txt"
}

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
    if [[ -n $INPUT_EXPECT_PLAN ]]; then # what was reviewed is of one commit; the branch's newest is applied whole
      consent=(--expect-plan "$INPUT_EXPECT_PLAN")
      superseded_by=$(github superseded)
    fi
    if [[ -n $superseded_by ]]; then
      echo "Superseded by commit ${superseded_by:0:12}, the newest of ${GITHUB_REF#refs/heads/}: nothing was changed." | tee "$text"
      [[ " ${more[*]-} " != *" --superseded fail "* && " ${more[*]-} " != *" --superseded=fail "* ]] || code=1
    elif [[ $INPUT_EXPECT_PLAN == from-comment ]] && ! approvals; then
      [[ $code != 0 ]] || code=1
      cat "$errors" >&2
    else
      apply
    fi
    ;;
  destroy)
    owns && run_shown destroy -f "$INPUT_FILE" --yes ${more[@]+"${more[@]}"} || code=$?
    ;;
  sweep)
    sweep
    ;;
  *)
    echo "::error title=reconciler::the action has no such command; it is plan, apply, diff, drift, validate, destroy or sweep"
    exit 64
    ;;
esac

$acts || cat "$errors" >&2
if [[ $(head -c 15 "$text") == "<!-- reconciler" ]]; then
  cp "$text" "$shown" # a report
elif [[ -s $text ]]; then
  $acts || cat "$text"
  github pre "$text" >"$shown"
fi
if [[ $code != 0 && $code != 2 && (! -s $shown || $acts == true) ]]; then
  if [[ $INPUT_COMMAND == apply && -n $INPUT_EXPECT_PLAN && $code == 1 && -s $text ]] && ! grep -q '^- refused: ' "$text"; then
    printf '\n**Or:** run this job again. It does what is left of the approved plan, and nothing else.\n' >>"$shown"
  fi
  folded=()
  if [[ -s $shown ]]; then folded=(--folded); fi
  github pre --title "reconciler $INPUT_COMMAND ended with $code" ${folded[@]+"${folded[@]}"} "$errors" >>"$shown"
  ! grep -q "not all approved" "$errors" || [[ ! -s $work/now.json ]] || github next-step "$work/now.json" >>"$shown"
fi
cat "$shown" >>"$GITHUB_STEP_SUMMARY"
[[ -s $text ]] || cat "$shown"

hash="" approval=""
if [[ -s $work/plan.json ]]; then
  hash=$(github hash "$work/plan.json")
  approval=$(github approval "$work/plan.json")
fi
{
  echo "changes=$([[ $code == 2 ]] && echo true || echo false)"
  echo "plan-sha256=$hash"
  echo "approval=$approval"
  echo "exit-code=$code"
  echo "superseded-by=$superseded_by"
} >>"$GITHUB_OUTPUT"

if [[ $INPUT_LABELS == true && $INPUT_COMMAND == plan ]]; then
  github label "$work/plan.json"
fi

# One comment for each spec: what is reviewed in it is a plan, and nothing else takes its place.
# What is done to the stack of a pull request stands there too.
if [[ $INPUT_COMMENT == true && ($INPUT_COMMAND == plan || $INPUT_COMMAND == diff || (-n $INPUT_ENVIRONMENT && $acts == true)) ]]; then
  only_update=()
  if [[ $INPUT_SKIP_WHEN_EMPTY == true && $code == 0 && $INPUT_COMMAND != apply ]]; then only_update=(--only-update); fi
  github comment --key "$key" --author "$INPUT_COMMENT_AUTHOR" --plan "$work/plan.json" \
    ${only_update[@]+"${only_update[@]}"} "$shown"
fi
[[ $code == 0 || $code == 2 ]] || exit "$code"
