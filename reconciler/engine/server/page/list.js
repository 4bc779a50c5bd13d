
/* The list: which machines are shown, in which groups and order, and how one moves in it. */
const RUNNING = new Set(["starting", "started", "stopping", "restarting"]);
const TONES = {
  running: "good", started: "good", starting: "busy", stopping: "busy", restarting: "busy", replacing: "busy", created: "rest",
  suspending: "busy", destroying: "busy", failed: "bad" };
const natural = new Intl.Collator("en", { numeric: true });
const machines = new Map(), rows = new Map(), groups = new Map();
let chosen = null, reached = null, isDrawing = false;

function at(id) { return document.getElementById(id); }

/* All text of others becomes text, never HTML. */
function made(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function sync(parent, wanted) {
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] || null);
  });
}

function clock(value) {
  const at = new Date(value), isToday = at.toDateString() === new Date().toDateString();
  const time = made("time", (isToday ? "" : at.toLocaleDateString("sv") + " ") + at.toLocaleTimeString("sv"));
  time.dateTime = time.title = at.toISOString();
  return time;
}

function badge(state) { return made("span", state, "state " + (TONES[state] || "")); }

/* How a run ended: a sign, words, and a colour that adds nothing to them. */
function endingOf(exit) {
  const again = exit.restarting ? ", restarts" : "";
  if (exit.oom_killed) return ["✗", "killed for lack of memory" + again, "bad"];
  if (exit.signal > 0 && exit.requested_stop) return ["■", "stopped by signal " + exit.signal + again, "rest"];
  if (exit.signal > 0) return ["✗", "ended by signal " + exit.signal + again, "bad"];
  if (!(exit.exit_code >= 0)) return ["?", exit.error || "exit code not known", "busy"];
  if (exit.exit_code === 0) return ["✓", "exit code 0" + again, "good"];
  return ["✗", "exit code " + exit.exit_code + again, "bad"];
}

function ending(exit) {
  const [sign, words, tone] = endingOf(exit), shown = made("span", undefined, "exit " + tone), mark = made("span", sign + " ");
  mark.setAttribute("aria-hidden", "true");
  shown.append(mark, words);
  return shown;
}

function isRunning(machine) { return RUNNING.has(machine.state); }

function lastExit(machine) {
  const run = machine.runs.find(one => one.exit);
  return run && run.exit;
}

function matches(machine, words, state) {
  const exit = lastExit(machine);
  const fits = { "": true, running: isRunning(machine), resting: !isRunning(machine),
    "ended badly": machine.state === "failed" || Boolean(exit && endingOf(exit)[2] === "bad") };
  if (!(state in fits ? fits[state] : machine.state === state)) return false;
  const text = [machine.app, machine.pool, machine.kind, machine.name, machine.id, machine.region, machine.state, machine.image];
  return words.every(word => text.join(" ").toLowerCase().includes(word));
}

function inOrder(one, other) {
  return isRunning(other) - isRunning(one) || natural.compare(one.name, other.name) || natural.compare(one.id, other.id);
}

/* By app, then by pool; what has no pool comes last. */
function grouped(found) {
  const apps = new Map();
  for (const machine of found) {
    const key = JSON.stringify([machine.kind === "process group", machine.pool]);
    if (!apps.has(machine.app)) apps.set(machine.app, new Map());
    const pools = apps.get(machine.app);
    if (!pools.has(key)) pools.set(key, []);
    pools.get(key).push(machine);
  }
  const inPools = ([, one], [, other]) => !one[0].pool - !other[0].pool || natural.compare(one[0].pool, other[0].pool);
  return [...apps].sort(([one], [other]) => natural.compare(one, other)).map(([app, pools]) => [app, [...pools].sort(inPools)]);
}

function counted(all, shown) {
  const text = all.filter(isRunning).length + " of " + all.length + " running";
  return shown.length < all.length ? shown.length + " shown · " + text : text;
}

function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => { isDrawing = false; drawList(); drawDetail(); });
}

function drawList() {
  const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean), state = at("state").value;
  const all = [...machines.values()], shown = new Set(all.filter(machine => matches(machine, words, state)));
  const focused = document.activeElement, order = [];
  const sections = grouped(all).map(([app, pools]) => {
    const section = groupOf(app, "h2"), members = [...pools.flatMap(([, found]) => found)];
    const drawn = pools.map(([key, found]) => drawPool(app + "\n" + key, found, shown, order)).filter(Boolean);
    section.heading.replaceChildren(app, " ", made("span", counted(members, members.filter(one => shown.has(one)))));
    sync(section.element, [section.heading, ...drawn]);
    return drawn.length ? section.element : null;
  });
  const nothing = machines.size ? "No machine matches." : "There is no machine yet: apply a spec with --target local.";
  sync(at("groups"), order.length ? sections.filter(Boolean) : [made("p", nothing, "none")]);
  say("count", all.length ? counted(all, [...shown]).replace(/running$/, all.length === 1 ? "machine runs" : "machines run") : "");
  for (const id of [...rows.keys()]) if (!machines.has(id)) rows.delete(id);
  const stop = [reached, chosen, order[0]].find(id => id && order.includes(id));
  for (const id of order) rows.get(id).button.tabIndex = id === stop ? 0 : -1;
  if (focused && focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

function say(id, text) { if (at(id).textContent !== text) at(id).textContent = text; }

function drawPool(key, found, shown, order) {
  const here = found.filter(machine => shown.has(machine)).sort(inOrder);
  if (!here.length) return null;
  const { pool, kind } = found[0], group = groupOf(key, "h3");
  group.heading.replaceChildren(pool || "no pool", made("span", kind), made("span", counted(found, here)));
  sync(group.list, here.map(machine => drawRow(machine)));
  sync(group.element, [group.heading, group.list]);
  order.push(...here.map(machine => machine.id));
  return group.element;
}

function groupOf(key, level) {
  if (!groups.has(key)) {
    const heading = made(level), element = made("section");
    heading.id = "group-" + groups.size;
    element.setAttribute("aria-labelledby", heading.id);
    groups.set(key, { element, heading, list: made("ul") });
  }
  return groups.get(key);
}

function drawRow(machine) {
  if (!rows.has(machine.id)) {
    const item = made("li"), button = made("button");
    button.type = "button";
    button.dataset.machine = machine.id;
    item.append(button);
    rows.set(machine.id, { item, button, text: "" });
  }
  const row = rows.get(machine.id), exit = lastExit(machine), since = machine.runs.length && machine.runs[0].started;
  const text = JSON.stringify([machine.name, machine.state, machine.region, exit, since]);
  if (row.text !== text) {
    row.text = text;
    const last = made("span", machine.region + " · ", "small last");
    if (isRunning(machine) && since) last.append("runs since ", clock(since));
    else last.append(exit ? ending(exit) : "never ran");
    row.button.replaceChildren(made("span", machine.name, "name"), badge(machine.state), last);
  }
  row.button.setAttribute("aria-current", String(machine.id === chosen));
  return row.item;
}

function move(event) {
  const all = [...at("groups").querySelectorAll("button")], now = all.indexOf(document.activeElement);
  const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined || !all[to]) return;
  event.preventDefault();
  all[to].focus();
}

at("groups").addEventListener("keydown", move);
at("groups").addEventListener("focusin", event => {
  if (!event.target.dataset.machine) return;
  for (const one of at("groups").querySelectorAll('button[tabindex="0"]')) one.tabIndex = -1;
  reached = event.target.dataset.machine;
  event.target.tabIndex = 0;
});
at("groups").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) choose(button.dataset.machine);
});
at("filter").addEventListener("input", draw);
at("filter").addEventListener("keydown", event => {
  if (event.key === "Escape") { at("filter").value = ""; draw(); }
  if (event.key === "ArrowDown") move(event);
});
at("state").addEventListener("change", draw);
document.addEventListener("keydown", event => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.key !== "/" || isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  showList();
  at("filter").focus();
});
