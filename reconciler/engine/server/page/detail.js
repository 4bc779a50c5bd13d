
/* The chosen machine: facts, runs, log, events, config; and its start and stop. */
const LINES = 2000, LONGEST = 4000, STARTS = new Set(["created", "stopped", "suspended", "failed"]);
const STOPS = new Set(["started", "starting", "restarting", "suspended"]);
const drawn = new Map();
let isAway = false, acting = null;

/* Make the part anew only if what it shows has changed: a selection of text and an open part stay. */
function put(id, data, parts) {
  const text = JSON.stringify([chosen, data]);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  at(id).replaceChildren(...parts());
}

function tableOf(heads, lines) {
  const table = made("table"), head = made("tr");
  const nameOf = index => heads[index] === "By" || heads[index] === "State" ? "wide" : "";
  heads.forEach((name, index) => { const cell = made("th", name, nameOf(index)); cell.scope = "col"; head.append(cell); });
  table.append(head);
  for (const line of lines) {
    const row = made("tr");
    line.forEach((value, index) => { const cell = made("td", undefined, nameOf(index)); cell.append(value); row.append(cell); });
    table.append(row);
  }
  return table;
}

function took(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return (ms / 1000).toFixed(1) + " s";
  if (seconds < 3600) return Math.floor(seconds / 60) + " min " + seconds % 60 + " s";
  return Math.floor(seconds / 3600) + " h " + Math.floor(seconds % 3600 / 60) + " min";
}

function runLine(run, index, machine) {
  const now = index === 0 && isRunning(machine) ? badge("running") : "no end was reported";
  return [clock(run.started), run.exit ? took(run.ended - run.started) : "", run.exit ? ending(run.exit) : now];
}

function factsOf(machine) {
  const facts = [["pool", machine.pool && machine.pool + " (" + machine.kind + ")"], ["id", machine.id], ["region", machine.region],
    ["image", machine.image], ["command", machine.command], ["version", machine.version], ["starts", String(machine.starts)],
    ["cordoned", machine.cordoned ? "yes" : ""]];
  const parts = facts.filter(([, value]) => value).flatMap(([name, value]) => [made("dt", name), made("dd", value)]);
  for (const check of machine.checks) {
    const value = made("dd"), tone = { passing: "good", critical: "bad" }[check.status] || "busy";
    value.append(made("span", check.status, "state " + tone), " " + check.output);
    parts.push(made("dt", "check " + check.name), value);
  }
  return parts;
}

function drawDetail() {
  const machine = machines.get(chosen);
  at("machine").hidden = !machine;
  at("none").hidden = Boolean(machine);
  if (!machine) return;
  put("title", [machine.app, machine.name, machine.state], () => [made("span", machine.app + " / " + machine.name, "name"), badge(machine.state)]);
  enable("start", STARTS.has(machine.state));
  enable("stop", STOPS.has(machine.state));
  const { pool, kind, id, region, image, command, version, starts, cordoned, checks } = machine;
  put("facts", [pool, kind, id, region, image, command, version, starts, cordoned, checks], () => factsOf(machine));
  put("runs", [machine.runs, isRunning(machine)], () => machine.runs.length
    ? [tableOf(["Started", "Took", "Ended"], machine.runs.map((run, index) => runLine(run, index, machine)))]
    : [made("p", "It never ran.", "none")]);
  put("events", machine.events, () => [tableOf(["When", "Event", "State", "By", "Ended"], machine.events.map(event => {
    const exit = event.request && event.request.exit_event;
    return [clock(event.timestamp), event.type, event.status, event.source, exit ? ending(exit) : ""];
  }))]);
  put("config", machine.config, () => [JSON.stringify(machine.config, null, 2)]);
}

/* A button that cannot be used stays where the focus is, and says so. */
function enable(id, isUseful) { at(id).setAttribute("aria-disabled", String(!isUseful || isAway || acting === chosen)); }

async function act(what) {
  const machine = machines.get(chosen);
  if (!machine || at(what).getAttribute("aria-disabled") === "true") return;
  const path = "/v1/apps/" + encodeURIComponent(machine.app) + "/machines/" + encodeURIComponent(machine.id) + "/" + what;
  acting = machine.id;
  report(machine, what === "start" ? "starting…" : "stopping…", "");
  try {
    const reply = await ask(path, { method: "POST", body: "{}", headers: { "Content-Type": "application/json" } });
    const answer = await reply.json().catch(() => ({}));
    if (reply.ok) report(machine, what === "start" ? "✓ start accepted" : "✓ stop accepted", "good");
    else report(machine, "✗ " + reply.status + " " + (answer.error || "no reason was given"), "bad");
  } catch {
    report(machine, "✗ the engine does not answer: it is not known whether it did that", "bad");
  }
}

function report(machine, text, tone) {
  if (tone) acting = null;
  if (machine.id === chosen) { at("said").textContent = text; at("said").className = tone; }
  drawDetail();
}

function addLine(line) {
  if (line.machine !== chosen) return;
  const log = at("log"), follows = log.scrollTop + log.clientHeight >= log.scrollHeight - 20;
  const row = made("p", undefined, line.stream);
  row.dataset.number = line.number;
  row.append(clock(line.at_ms));
  if (line.stream !== "stdout") row.append(made("span", line.stream, "tag"));
  row.append(line.message);
  log.append(row);
  while (log.childElementCount > LINES) log.firstElementChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
}

async function loadLog(id) {
  const machine = machines.get(id), path = "/api/v1/apps/" + encodeURIComponent(machine.app) + "/logs?instance=";
  try {
    const reply = await ask(path + encodeURIComponent(id));
    if (!reply.ok || chosen !== id) return;
    const { data } = await reply.json();
    const last = Math.max(0, ...data.map(one => Number(one.id)));
    const newer = [...at("log").children].filter(row => Number(row.dataset.number) > last);
    at("log").replaceChildren();
    for (const { id: number, attributes: one } of data) {
      const stream = one.meta.stream || one.meta.event.provider;
      addLine({ machine: id, number, stream, at_ms: Date.parse(one.timestamp), message: one.message.slice(0, LONGEST) });
    }
    at("log").append(...newer);
    at("log").scrollTop = at("log").scrollHeight;
  } catch { /* the stream says that the engine is away */ }
}

async function choose(id) {
  chosen = reached = id;
  at("log").replaceChildren();
  at("said").textContent = "";
  drawList();
  drawDetail();
  at("detail").scrollTop = 0;
  document.querySelector("main").className = "one";
  if (getComputedStyle(at("list")).visibility === "hidden") at("title").focus();
  await loadLog(id);
}

function showList() { document.querySelector("main").className = ""; }

at("start").addEventListener("click", () => act("start"));
at("stop").addEventListener("click", () => act("stop"));
at("back").addEventListener("click", () => {
  showList();
  if (rows.has(chosen)) rows.get(chosen).button.focus();
});
