"""`make mutants`: breaks each safety rule on purpose, in a copy of the tree, and asks whether the tests notice.

Not part of `make check`: it takes some minutes. Ends 1 where a mutant lives, or where its text is no longer there.
"""

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
QUICK = (
    "tests/scenarios/apply/test_trust.py",
    "tests/scenarios/apply/test_apply.py",
    "tests/scenarios/invoke/test_invoke.py",
)
RUNS = (
    "invoke/test_away",
    "invoke/test_start_deadline",
    "invoke/test_taken_back",
    "invoke/test_keys",
    "invoke/test_overrides",
    "invoke/test_queue",
    "apply/test_handover",
    "apply/test_planning",
    "apply/test_kinds",
    "invoke/test_runs",
    "invoke/test_past_runs",
    "apply/test_overtaken_plans",
    "invoke/test_run_logs",
    "invoke/test_restarts",
)
REVIEW = (
    "tests/cli/test_saved_plan.py",
    "tests/cli/test_images.py",
    "tests/images",
    "tests/render",
    "tests/machines_api",
    "tests/model",
    "tests/spec",
    "tests/cli/test_canaries.py",
)
MORE = (
    "tests/slots",
    "tests/scenarios/apply/test_locks.py",
    "tests/scenarios/apply/test_overtaken.py",
    "tests/scenarios/faults/test_unexpected.py",
    "tests/scenarios/apply/test_limits.py",
    "tests/apply",
    "tests/scenarios/apply/test_staying_up.py",
    "tests/planner",
    "tests/invoke",
    "tests/engine/server/test_files.py",
    "tests/engine/store/test_retention.py",
    "tests/engine/runtime/test_procfs.py",
    "tests/scenarios/faults/test_assumptions.py",
    "tests/scenarios/faults/test_unreachable.py",
    "tests/scenarios/apply/test_drift.py",
    "tests/scenarios/faults/test_fault_matrix.py",
    "tests/engine/runtime/test_procfs.py",
    "tests/scenarios/apply/test_volumes.py",
    "tests/scenarios/apply/test_crash_loops.py",
)
WORKERS = 2


class Mutant(NamedTuple):
    """One rule, broken: in `file`, `text` becomes `broken`."""

    rule: str
    file: str
    text: str
    broken: str


MUTANTS = (
    Mutant(
        "a machine that never settles is waited for no longer than the user gave",
        "apply/options.py",
        "return self.patience if self.patience and self.patience.until < own.until else own",
        "return own",
    ),
    Mutant(
        "a platform that limits the rate does not lengthen the queue",
        "invoke/cancellation.py",
        "timeout=timeout_s, return_when",
        "timeout=None, return_when",
    ),
    Mutant(
        "a run that does not end after its stop is given up",
        "invoke/follow.py",
        "await asyncio.wait({waiting}, timeout=limit_s)",
        "await asyncio.wait({waiting})",
    ),
    Mutant(
        "an unexpected error in one change loses no other change's end",
        "apply/executor.py",
        "        except Exception as error:\n            one.entry =",
        "        except KeyError as error:\n            one.entry =",
    ),
    Mutant(
        "a run that may have started is named after an unexpected error",
        "invoke/start_deadline.py",
        "if progress.sent is None or isinstance(error, ReconcilerError):",
        "if True:",
    ),
    Mutant(
        "the engine's files are its owner's alone",
        "engine/server/serve.py",
        "umask = os.umask(0o077)",
        "umask = os.umask(0o022)",
    ),
    Mutant(
        "a start after a stop is no restart of the platform's own",
        "slots/run_starts.py",
        '        if event.type in {"start", "stop"}:\n',
        '        if event.type == "start":\n',
    ),
    Mutant(
        "a start whose fence has left the events is nobody's, unless the platform restarts that run",
        "slots/run_starts.py",
        "(is_told or is_cut or len(records) == 1)",
        "True",
    ),
    Mutant(
        "lines of the next run are not told as this one's",
        "invoke/logs.py",
        "            return self._span.following is None\n",
        "            return False\n",
    ),
    Mutant(
        "output that could not be read is said to be incomplete",
        "invoke/logs.py",
        "        if not is_whole:\n",
        "        if False:\n",
    ),
    Mutant(
        "a database of a newer version is left alone",
        "engine/store/database.py",
        "    if version > VERSION:\n",
        "    if False:\n",
    ),
    Mutant(
        "an empty database is one that was lost, not a new one",
        "engine/store/database.py",
        "        if not file.stat().st_size:\n",
        "        if False:\n",
    ),
    Mutant(
        "what lay beside another database is not read into a new one",
        "engine/store/database.py",
        "        stale.unlink(missing_ok=True)",
        "        pass",
    ),
    Mutant(
        "the log is bounded in bytes too",
        "engine/store/log_table.py",
        "        if lines <= LOG_LINES_KEPT and bytes_ <= LOG_BYTES_KEPT:\n            return lines, bytes_\n",
        "        if lines <= LOG_LINES_KEPT:\n            return lines, bytes_\n",
    ),
    Mutant(
        "destroyed machines are forgotten after a while",
        "engine/store/cleanup.py",
        "if due_s <= now_s]",
        "if False]",
    ),
    Mutant(
        "what left a command's session ends with its machine",
        "engine/runtime/procfs.py",
        "int(session) in owned.sessions or _is_marked(pid, owned.directory)",
        "int(session) in owned.sessions",
    ),
    Mutant(
        "an engine does not end itself",
        "engine/runtime/procfs.py",
        "state in _GONE or pid == os.getpid()",
        "state in _GONE",
    ),
    Mutant(
        "a run ends though its output is held open",
        "engine/runtime/child.py",
        "_DRAIN_S: Final = 1.0",
        "_DRAIN_S: Final = 60.0",
    ),
    Mutant(
        "look before a create is repeated",
        "apply/create.py",
        "                found = await _look_for(context, change)\n",
        "                found = None\n",
    ),
    Mutant(
        "a name held by someone else is not ours",
        "apply/judge.py",
        "    if not marks.is_owned(holder.metadata, stack=stack, name=holder.name):\n",
        "    if False:\n",
    ),
    Mutant(
        "a machine that was destroyed is drift",
        "planner/drift.py",
        "    if change.action is Action.CREATE and change.lost is not None:\n",
        "    if False:\n",
    ),
    Mutant(
        "a slot that was not there when the pool was applied is the spec's",
        "planner/drift.py",
        " or change.is_new or machine is None:",
        " or machine is None:",
    ),
    Mutant(
        "the anchor remembers no slot that could not be made",
        "planner/bookkeeping.py",
        "region: first.get(region, count)",
        "region: count",
    ),
    Mutant(
        "only drift makes no machine that the spec wants otherwise now",
        "planner/drift.py",
        "change.lost is not None and change.lost == change.desired_digest",
        "change.lost is not None",
    ),
    Mutant(
        "a machine of a slot's name whose host is down is that slot",
        "planner/pair.py",
        "        if not machine.is_observable and _may_be_ours(machine, stack=stack):\n",
        "        if False:\n",
    ),
    Mutant(
        "no machine is made beside one that is unreachable",
        "planner/changes.py",
        " or (slot in paired.unreachable and slot not in paired.by_slot)",
        "",
    ),
    Mutant(
        "an apply does not end well while a machine is unreachable",
        "model/report.py",
        "return self.is_on_course and not self.unreachable",
        "return self.is_on_course",
    ),
    Mutant(
        "a machine whose host went down is not destroyed",
        "apply/actions.py",
        "        if found := unreachable(live, change):\n            return found, live\n",
        "",
    ),
    Mutant(
        "a spec puts no token of the tool's own where values are shown",
        "spec/variables.py",
        "if is_shown and is_token_variable(name):",
        "if False:",
    ),
    Mutant(
        "nothing that is written shows a known token",
        "cli/ui/streams.py",
        "self.behind.write(self._known.conceal(text))",
        "self.behind.write(text)",
    ),
    Mutant(
        "no saved plan holds a known token",
        "cli/commands/plan.py",
        "conceal=streams.current().known.conceal",
        "conceal=str",
    ),
    Mutant(
        "a token that was cut off in its middle is one all the same",
        "model/concealment.py",
        "        if secret.startswith(text[at:]):\n",
        "        if False:\n",
    ),
    Mutant(
        "no write under a lease that is lost",
        "slots/lease.py",
        "        if self._is_released or self._is_lost or self._remaining_s() <= call_timeout_s:\n",
        "        if self._is_released:\n",
    ),
    Mutant(
        "a lost reply to a lease is only ours if its description is",
        "slots/lease.py",
        "            if found.description != description:\n",
        "            if False:\n",
    ),
    Mutant(
        "a lease that was given up as lost is lost for good",
        "slots/lease.py",
        "        if self._is_released or self._is_lost or self._remaining_s() <= call_timeout_s:\n            self._is_lost = True",
        "        if self._is_released or self._is_lost or self._remaining_s() <= call_timeout_s:\n            self._is_lost = False",
    ),
    Mutant(
        "a lease is given back whatever became of its renewal",
        "slots/lease.py",
        "    await asyncio.wait({renewal})\n    await lease.release()\n",
        "    await renewal\n    await lease.release()\n",
    ),
    Mutant(
        "a lease that was granted to a caller who gave up is given back",
        "slots/lease.py",
        "                if found.description == description:\n",
        "                if False:\n",
    ),
    Mutant(
        "the number of a process elsewhere proves nothing",
        "slots/lease_description.py",
        "    return holder.space is not None and holder.space == space and not is_alive(holder.pid)\n",
        "    return not is_alive(holder.pid)\n",
    ),
    Mutant(
        "leases are renewed",
        "slots/lease.py",
        "            self._renewing = asyncio.ensure_future(self._renew())\n",
        "            self._renewing = asyncio.ensure_future(asyncio.sleep(0))\n",
    ),
    Mutant(
        "a renewal that is on its way is waited for before the release",
        "slots/lease.py",
        "        if self._renewing and not self._renewing.done():\n",
        "        if False:\n",
    ),
    Mutant(
        "a machine that runs without a start that is told may run for the key",
        "invoke/idempotency.py",
        "    if newest and newest.ulid == known.ulid and not live.state.is_resting:\n",
        "    if False:\n",
    ),
    Mutant(
        "an exit without a start that is told is the run's end",
        "invoke/history.py",
        "    if exited and exited.exit:\n",
        "    if False:\n",
    ),
    Mutant(
        "leases are released",
        "slots/lease.py",
        "        if self._is_released or self._is_write_unclear:\n            return\n",
        "        if self._ttl_s:\n            return\n",
    ),
    Mutant(
        "a running task is not updated",
        "apply/judge.py",
        "    return kind_of(live, declared=change.kind) is PoolKind.TASK and not live.state.is_resting\n",
        "    return False\n",
    ),
    Mutant(
        "a running task is not destroyed",
        "apply/actions.py",
        "        is_forced = job.options.force or kind_of(live, declared=change.kind) is PoolKind.SERVICE\n",
        "        is_forced = True\n",
    ),
    Mutant(
        "look under the lease whether it is what was planned for",
        "apply/actions.py",
        "        elif has_moved(live, change):\n",
        "        elif False:\n",
    ),
    Mutant(
        "what a hand made of another apply's work is not done",
        "apply/judge.py",
        "    return not Differ().differences(canonical(change.desired), live.config or MachineConfig(document={}))\n",
        "    return True\n",
    ),
    Mutant(
        "a plan made again undoes nothing that a hand did",
        "apply/follow_up.py",
        "change.action in _HARMLESS and not is_by_hand and not is_more",
        "change.action in _HARMLESS and not is_more",
    ),
    Mutant(
        "a plan made again runs nothing that was not announced",
        "apply/follow_up.py",
        "change.action in _HARMLESS and not is_by_hand and not is_more",
        "change.action in _HARMLESS and not is_by_hand",
    ),
    Mutant(
        "of a plan made again only what was reviewed is done",
        "apply/follow_up.py",
        "not change.is_effective or change.binding in known",
        "True",
    ),
    Mutant(
        "only a new app's refusals are asked again",
        "machines_api/retry.py",
        "if may_repeat and self.is_new(app) else None",
        "if may_repeat else None",
    ),
    Mutant(
        "nothing is sent again under a lease because its app is new",
        "machines_api/transport.py",
        "        if call.app is None or call.nonce:\n",
        "        if call.app is None:\n",
    ),
    Mutant(
        "a create that may have had its effect is looked for first, in a new app too",
        "machines_api/retry.py",
        "(error.is_unclear and is_repeatable)",
        "error.is_unclear",
    ),
    Mutant(
        "plans are made again a bounded number of times",
        "apply/retry_deferred.py",
        "            overtaken_left -= 1\n",
        "",
    ),
    Mutant(
        "what replaces a machine that went remembers what it knew",
        "apply/actions.py",
        "before.config or change.observed",
        "before.config",
    ),
    Mutant(
        "only what carries our marks is destroyed",
        "apply/actions.py",
        "        if (live.metadata.get(marks.STACK), live.metadata.get(marks.SLOT)) != (job.stack, change.slot.name):\n",
        "        if False:\n",
    ),
    Mutant(
        "an older revision is fenced under the lease",
        "apply/judge.py",
        "    if ours is None or options.allow_rollback:\n",
        "    if True:\n",
    ),
    Mutant(
        "what a busy anchor was told by a newer apply fences an older one",
        "apply/judge.py",
        '    told.append(marks.parse_want(live.metadata.get(marks.WANT, "")).revision or "")\n',
        "",
    ),
    Mutant(
        "nothing of a pool is changed before its anchor is told what it should be",
        "apply/wants.py",
        "        return task.result()\n",
        "        return None\n",
    ),
    Mutant(
        "an anchor that turns out to be busy is told what its pool should be",
        "apply/actions.py",
        "        await write_want(job.context, lease, live, change.desired_digest, change.image_digest, job.options)\n",
        "        pass\n",
    ),
    Mutant(
        "an anchor that is on its way out, or runs, is told what its pool should be",
        "planner/announce.py",
        "any(change.action in _CARRIES and not change.deferred for change in own)",
        "True",
    ),
    Mutant(
        "a change that was not made because of a lock has failed",
        "apply/actions.py",
        "    return entry(change, Status.FAILED, error.message, reason=Reason.LOCK)\n",
        "    return entry(change, Status.DEFERRED, error.message, reason=Reason.LOCK)\n",
    ),
    Mutant(
        "an update that was overtaken is judged again",
        "apply/actions.py",
        "            if not left or not _is_worth_another_look(job, change, error):\n",
        "            if True:\n",
    ),
    Mutant(
        "a mark that could not be written is told",
        "apply/apply.py",
        "            failures += await _leave_in_order(",
        "            await _leave_in_order(",
    ),
    Mutant(
        "an anchor does not go on wanting what was taken back",
        "planner/bookkeeping.py",
        "            if is_as_declared and _names_another(machine, pool):\n",
        "            if False:\n",
    ),
    Mutant(
        "an update carries other tools' metadata forward",
        "slots/ownership_metadata.py",
        "    kept = {key: value for key, value in live.items() if key not in _STAMPED_ANEW}\n",
        "    kept = {}\n",
    ),
    Mutant(
        "an update is done only if it is seen",
        "slots/update.py",
        "    if settled.metadata.get(marks.APPLIED) != config.metadata[marks.APPLIED] or _is_reverted(live, settled):\n",
        "    if False:\n",
    ),
    Mutant(
        "what was applied is read back",
        "apply/verify.py",
        "    return (*left, *unasked, *_failed(observed, entries), *again.blocked), observed\n",
        "    return (), observed\n",
    ),
    Mutant(
        "a list that lags is not believed against a machine",
        "apply/verify.py",
        "        if doubtful:\n",
        "        if False:\n",
    ),
    Mutant(
        "an empty list of a full app is not believed",
        "model/machine.py",
        "        if not self.machines and self.reported_count:\n",
        "        if False:\n",
    ),
    Mutant(
        "foreign machines are set apart",
        "model/marks.py",
        "    return metadata.get(STACK) == stack and metadata.get(SLOT) == name and POOL in metadata\n",
        "    return POOL in metadata or True\n",
    ),
    Mutant(
        "a busy slot is deferred",
        "planner/rules.py",
        '    return f"busy: a run is in progress{since}"\n',
        "    return None\n",
    ),
    Mutant(
        "the deletion limit",
        "planner/limits.py",
        "    if lost > max(_COUNT, allow_destroy or 0) and lost * _SHARE > owned_count:\n",
        "    if False:\n",
    ),
    Mutant("a protected pool is kept", "planner/limits.py", "        if change.is_protected:\n", "        if False:\n"),
    Mutant(
        "what depends on a failure is skipped",
        "apply/executor.py",
        "    if blocking:\n",
        "    if False:\n",
    ),
    Mutant(
        "a start that found the machine running is not ours",
        "invoke/claim.py",
        "        if previous is not None and previous not in _RESTING_STATES and not starting.is_in_doubt:\n",
        "        if False:\n",
    ),
    Mutant(
        "only an exit after our start is ours",
        "invoke/outcome.py",
        "            return tuple(events[:position])\n",
        "            return tuple(events)\n",
    ),
    Mutant(
        "an exit before a restart is no end",
        "slots/run_starts.py",
        "        if not ended.restarting:\n",
        "        if True:\n",
    ),
    Mutant(
        "a failure's code stays a failure's as the code of a process",
        "invoke/outcome.py",
        "    return min(code, _HIGHEST_CODE)\n",
        "    return code\n",
    ),
    Mutant(
        "an end that is not known is no success in a run record",
        "slots/run_records.py",
        "ended.code if ended.is_known else _NOT_KNOWN",
        "ended.code",
    ),
    Mutant(
        "the verb is the one that was parsed",
        "cli/main.py",
        '(context.invoked_subcommand if context else None) or ""',
        'next((word for word in sys.argv if word in VERBS), "")',
    ),
    Mutant(
        "a Retry-After that is no number is none",
        "machines_api/errors.py",
        're.compile(r"[0-9]{1,9}")',
        're.compile(r".+")',
    ),
    Mutant(
        "a machine that is listed twice is one",
        "machines_api/wire.py",
        "or first[machine.id] is machine)",
        "or True)",
    ),
    Mutant(
        "an answer about another machine is none",
        "machines_api/wire.py",
        " or machine_id not in {None, found}:",
        ":",
    ),
    Mutant(
        "a machine whose config is not understood is not observed",
        "model/machine.py",
        " and not self.not_understood\n",
        "\n",
    ),
    Mutant(
        "an exit code that is no integer is not understood",
        "machines_api/exits.py",
        '    raise _NotUnderstoodError(f"the platform\'s `{name}` is not understood")\n\n\ndef _flag(',
        "    return 0\n\n\ndef _flag(",
    ),
    Mutant(
        "an invoke brings a machine to the applied config first",
        "invoke/prepare.py",
        "    if want is None or applied == want.digest:\n",
        "    if True:\n",
    ),
    Mutant(
        "an invoke never applies a spec that was not applied",
        "invoke/prepare.py",
        "    if digest_of(desired) != want.digest:\n",
        "    if False:\n",
    ),
    Mutant(
        "a timeout ends this run and not the next",
        "invoke/follow.py",
        "live.state.is_gone or not is_ours:\n",
        "live.state.is_gone:\n",
    ),
    Mutant(
        "nobody starts a run while a stop without an answer may come",
        "invoke/follow.py",
        "        lease.doubt()",
        "        lease.settle()",
    ),
    Mutant(
        "a target that stays away is given up",
        "invoke/absence.py",
        "        if self._left_s <= 0:\n",
        "        if False:\n",
    ),
    Mutant(
        "a run that was lost from sight has not ended",
        "invoke/attach.py",
        "    if not ending.is_over:\n",
        "    if False:\n",
    ),
    Mutant(
        "a run that is cut off at its timeout is stopped, or said to go on",
        "invoke/absence.py",
        "        except (ApiError, LeaseLostError) as error:\n            await absence.endure(error)\n",
        "        except (ApiError, LeaseLostError) as error:\n            return False\n",
    ),
    Mutant(
        "what an earlier run had of its own is taken off before the next",
        "invoke/prepare.py",
        "    if marks.OVERRIDE in live.metadata:\n        return await restore",
        "    if False:\n        return await restore",
    ),
    Mutant(
        "what a run had of its own is taken off after it",
        "invoke/follow.py",
        '    if owner_of(claim.machine.metadata.get(marks.OVERRIDE, "")) == claim.run_ulid:\n',
        "    if False:\n",
    ),
    Mutant(
        "only the run's own override is taken off after it",
        "slots/override.py",
        " and live.state.is_resting and live.is_observable and ulid in",
        " and ulid in",
    ),
    Mutant(
        "a run's own config is no reason to refuse a plan",
        "apply/judge.py",
        "    if marks.OVERRIDE in live.metadata or change.expected_digest is None:\n",
        "    if False:\n",
    ),
    Mutant(
        "a run's own config is no drift",
        "planner/changes.py",
        "    is_overridden = marks.OVERRIDE in machine.metadata\n",
        "    is_overridden = False\n",
    ),
    Mutant(
        "only what was allowed may be changed by a run",
        "invoke/claim_request.py",
        "    why = objection_to(claimant.override, terms)\n",
        "    why = None\n",
    ),
    Mutant(
        "a key is of one command",
        "invoke/idempotency.py",
        "    if known.digest != digest_of_run(claimant):\n",
        "    if False:\n",
    ),
    Mutant(
        "a key whose record is gone is lost, not run again",
        "invoke/idempotency.py",
        '        return _lost(claimant, "the key\'s run is no longer retained; it is not run a second time")\n',
        "        return None\n",
    ),
    Mutant(
        "while the machine of a dead caller is held, no other is begun on",
        "invoke/idempotency.py",
        "            if dead and machine.id == first.id:\n",
        "            if False:\n",
    ),
    Mutant(
        "an anchor names its successor before the successor names itself",
        "apply/handover.py",
        "        await context.client.set_metadata(leaving.app, leaving.id, marks.ANCHOR, successor.name)\n",
        "        pass\n",
    ),
    Mutant(
        "the successor of an anchor learns its keys",
        "apply/handover.py",
        "if key.startswith(_KEYS)}",
        "if False}",
    ),
    Mutant(
        "an unclear start is never given up for another machine",
        "invoke/claim.py",
        "                starting.is_in_doubt = True\n                return None\n",
        "                return Refusal(why=error.message)\n",
    ),
    Mutant(
        "a claim that is given up takes its record back",
        "invoke/claim.py",
        "            await record.take_back()\n",
        "            pass\n",
    ),
    Mutant(
        "the record of a start that may have taken effect stays",
        "invoke/claim.py",
        "        if progress.sent is None:\n",
        "        if True:\n",
    ),
    Mutant(
        "a key is taken back with the record of its run",
        "invoke/claim_record.py",
        "                    await self.announcement.take_back()\n",
        "                    pass\n",
    ),
    Mutant(
        "a start that may have taken effect is lost, not never started",
        "invoke/start_deadline.py",
        "        if progress.sent:\n            return _lost(progress.sent, why)\n",
        "",
    ),
    Mutant(
        "a start ends at its deadline",
        "invoke/start_deadline.py",
        "                claiming.cancel()\n                await asyncio.wait({claiming})\n",
        "                await asyncio.wait({claiming})\n",
    ),
    Mutant(
        "a reviewed plan is applied once",
        "operations/saved_plans.py",
        "    if applied == saved.plan_sha256:\n",
        "    if False:\n",
    ),
    Mutant(
        "a reviewed plan is applied only as it was shown",
        "planner/staleness.py",
        "    if plan_sha256(now) == saved.plan_sha256:\n",
        "    if True:\n        return ()\n    if plan_sha256(now) == saved.plan_sha256:\n",
    ),
    Mutant(
        "a plan whose hash was not approved is refused",
        "operations/consent.py",
        "if self.expected and (found := plan_sha256(plan)) != self.expected:\n",
        "if self.expected and (found := plan_sha256(plan)) == '':\n",
    ),
    Mutant(
        "no value is shown",
        "render/redact.py",
        "    return masked(value, salt) if is_secret else value\n",
        "    return value\n",
    ),
    Mutant(
        "a 404 that no Machines API gives proves no absence",
        "machines_api/errors.py",
        "    if kind is K.NOT_FOUND and _is_foreign(body):\n",
        "    if False:\n",
    ),
    Mutant(
        "no error quotes a secret",
        "machines_api/errors.py",
        "    text = conceal(text, secrets)\n",
        "    text = str(text)\n",
    ),
    Mutant(
        "a registry that is down is no difference",
        "planner/images.py",
        "        digest = _applied_digest(pool, owned.get(pool.name, []))\n",
        "        digest = None\n",
    ),
    Mutant(
        "an invoke sends the digest that was applied",
        "invoke/prepare.py",
        "    return with_digest(claimant.pool.config, want.image_digest if want else None)\n",
        "    return with_digest(claimant.pool.config, None)\n",
    ),
    Mutant(
        "no credential goes to where a registry redirects to",
        "images/wire.py",
        "            if authorization and _origin(url) == home:\n",
        "            if authorization:\n",
    ),
    Mutant(
        "an apply does not lower the revision that another one has left meanwhile",
        "planner/bookkeeping.py",
        "    return highest is not None and highest.is_newer_than(revision) and not allow_rollback\n",
        "    return False\n",
    ),
    Mutant(
        "no pause is too short for a server that counts arrivals",
        "machines_api/throttle.py",
        "        ticket = Ticket(self, self._taken, self._clock.monotonic() + _LONGEST_WAY_S)\n",
        "        ticket = Ticket(self, self._taken, self._clock.monotonic())\n",
    ),
    Mutant(
        "a refusal for the rate holds back all calls that it is about",
        "machines_api/transport.py",
        "                    bucket.hold(delay_s)\n",
        "                    pass\n",
    ),
    Mutant(
        "a machine is made only in an app that is there",
        "apply/apply.py",
        "    if not await creations.is_there(change.slot.app):\n",
        "    if False:\n",
    ),
    Mutant(
        "a start that came after the machine was looked at is no lost run",
        "invoke/history.py",
        "return newest is not None and any(event.id == newest.id for event in older)",
        "return False",
    ),
    Mutant(
        "what went to rest before anyone looked is up",
        "apply/health.py",
        "    if has_gone_to_rest(replace(look.seen, events=look.run)):\n        return True\n",
        "",
    ),
    Mutant(
        "what ended by itself has not gone to rest",
        "apply/health.py",
        "machine.state is MachineState.STOPPED and ended is not None and ended.requested_stop",
        "machine.state is MachineState.STOPPED",
    ),
    Mutant(
        "how runs ended is kept before their machine goes",
        "apply/actions.py",
        "        live = await keep_ends(job.context, live, change, job.locks)\n",
        "",
    ),
    Mutant(
        "an anchor that is replaced keeps how its runs ended",
        "apply/keep_ends.py",
        "            return _with_ends(leaving, ends)\n",
        "            return leaving\n",
    ),
    Mutant(
        "a key that left a fingerprint ran already",
        "invoke/idempotency.py",
        "    if known is None and has_fingerprint(",
        "    if known is None and False and has_fingerprint(",
    ),
    Mutant(
        "the fingerprint is written before the key goes",
        "invoke/key_room.py",
        "            await memory.write(name, value)\n            await memory.drop(marks.KEY + oldest)\n",
        "            await memory.drop(marks.KEY + oldest)\n            await memory.write(name, value)\n",
    ),
    Mutant(
        "the key of a run without an end is kept",
        "invoke/key_room.py",
        "        if not memory.seems_to_run(keyed) and await memory.has_ended(keyed):\n",
        "        if True:\n",
    ),
    Mutant(
        "fingerprints move with the anchor",
        "apply/handover.py",
        "_KEYS: Final = (marks.KEY, marks.FINGERPRINTS)\n",
        "_KEYS: Final = (marks.KEY,)\n",
    ),
    Mutant(
        "a task is told by its mark, whatever its restart policy",
        "model/kind.py",
        "    return _marked(machine) or declared or _guessed(machine)\n",
        "    return declared or _guessed(machine)\n",
    ),
    Mutant(
        "a run is not ended by force under a lease, whatever was planned",
        "apply/actions.py",
        "job.options.force or kind_of(live, declared=change.kind) is PoolKind.SERVICE\n",
        "job.options.force or change.kind is PoolKind.SERVICE\n",
    ),
    Mutant(
        "a service that becomes a task is stopped first",
        "apply/actions.py",
        "    if change.kind is PoolKind.SERVICE or live.state.is_resting:\n        return True\n",
        "    if change.kind:\n        return True\n",
    ),
    Mutant(
        "what left its session ends with its machine",
        "engine/runtime/procfs.py",
        "if int(session) in owned.sessions or _is_marked(pid, owned.directory):",
        "if int(session) in owned.sessions:",
    ),
    Mutant(
        "output that a background process holds is not waited for",
        "engine/runtime/child.py",
        "            async with asyncio.timeout(_DRAIN_S):\n",
        "            async with asyncio.timeout(None):\n",
    ),
    Mutant(
        "a service that crashes after its change has failed",
        "apply/health.py",
        "    crash = crash_in(look.run) if watch.min_healthy_s > 0 else None\n",
        "    crash = None\n",
    ),
    Mutant(
        "the exit of the version before is not taken for one of the new version",
        "model/crashes.py",
        "return tuple(events[: starts[-1] + 1]) if starts else ()",
        "return tuple(events)",
    ),
    Mutant(
        "what has left the machine's own list of events is asked for",
        "apply/health.py",
        "    if newer is None:\n        events = await context.client.list_events(seen.app, seen.id)\n",
        "    if newer is None:\n        events = seen.events\n",
    ),
    Mutant(
        "after a service's machine that crashed no other of it is made",
        "apply/executor.py",
        "self.stop.why or self._why_down(change)",
        "self.stop.why",
    ),
    Mutant(
        "of a service that may rest one machine alone is started",
        "apply/watching.py",
        "change.is_first or not may_rest(change)",
        "True",
    ),
    Mutant(
        "the first changed machine of a service that may rest is seen up",
        "apply/watching.py",
        "change.is_first or not may_rest(change)",
        "not may_rest(change)",
    ),
    Mutant(
        "new machines are watched side by side",
        "apply/executor.py",
        "(other.written if both_create else other.ended)",
        "other.ended",
    ),
    Mutant(
        "who is watched takes no place of those who write",
        "apply/executor.py",
        "            is_held = False\n            self.limit.release()\n",
        "",
    ),
    Mutant(
        "a volume is mounted only after it was freed",
        "planner/order.py",
        "return with_volume_edges(ordered)",
        "return tuple(ordered)",
    ),
    Mutant(
        "no machine goes for a volume that a run still has",
        "apply/executor.py",
        "        if kept := _kept_volume(change, needed):\n",
        "        if kept := None:\n",
    ),
    Mutant(
        "a volume that is not free yet is waited for",
        "apply/create.py",
        "if holder is None or not has_run(holder, stack=stack):",
        "if False:",
    ),
    Mutant(
        "a foreign machine's volume is no run's of ours",
        "apply/volumes.py",
        "return is_ours and kind_of(holder)",
        "return kind_of(holder)",
    ),
    Mutant(
        "a service that crashes is no success though it is as declared",
        "apply/apply.py",
        "in (*plan.effective, *plan.watched)",
        "in plan.effective",
    ),
    Mutant(
        "a rollout goes no further than the machine that crashes",
        "planner/order.py",
        "                needs += crashed.get(pool, ())\n",
        "                pass\n",
    ),
    Mutant(
        "a machine that gave up is not one that rests",
        "planner/rules.py",
        "not situation.pool.config.may_rest or _gave_up(situation)",
        "not situation.pool.config.may_rest",
    ),
    Mutant(
        "a service that was stopped on purpose has not crashed",
        "model/crashes.py",
        "if index is None or _was_asked_for(run, index):",
        "if index is None:",
    ),
    Mutant(
        "a crash of the run that someone else has started is seen",
        "apply/actions.py",
        "else await before_its_run(job.context, live)",
        "else live.newest_event",
    ),
    Mutant(
        "one volume for two machines is refused",
        "spec/parse.py",
        "        check_volumes(apps, findings)\n",
        "",
    ),
)


def copy_tree(target: Path) -> None:
    for name in ("reconciler", "schemas", "tests", "pyproject.toml", "machines.yaml", "README.md"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)


def verdict(mutant: Mutant) -> str:
    """`killed` by the tests, `lives`, or `no such text`."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory)
        copy_tree(target)
        file = target / "reconciler" / mutant.file
        text = file.read_text()
        if text.count(mutant.text) != 1:
            return "no such text"
        file.write_text(text.replace(mutant.text, mutant.broken))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            *QUICK,
            *(f"tests/scenarios/{name}.py" for name in RUNS),
            *MORE,
            *REVIEW,
        ]
        ended = subprocess.run(command, cwd=target, capture_output=True, text=True)
        return "lives" if ended.returncode == 0 else "killed"


def main() -> int:
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or any(word in mutant.rule for word in sys.argv[1:])]
    bad = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for mutant, ended in zip(chosen, pool.map(verdict, chosen), strict=True):
            print(f"{ended:<13} {mutant.rule}", flush=True)
            bad += ended != "killed"
    print(f"{len(chosen) - bad} of {len(chosen)} mutants were killed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
