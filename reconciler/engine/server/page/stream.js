
/* The engine: its token, its stream of changes, and whether it is there. */
const KEY = "reconciler-engine-token", SILENCE_MS = 40000;
const link = new URLSearchParams(location.hash.slice(1));
let token = sessionStorage.getItem(KEY) || "", wanted = link.get("machine"), told = new Set();

if (location.hash) history.replaceState(null, "", location.pathname);

/* The address has a code that works once: what a browser remembers of it is of no use to anyone. */
async function redeem(code) {
  try {
    const reply = await fetch("/engine/page-tokens", { method: "POST", credentials: "omit", body: JSON.stringify({ code }) });
    if (reply.ok) keep((await reply.json()).token);
    else if (!token) return login("This link was used already, or has expired: reconciler engine open makes a new one.");
  } catch { /* the stream says that the engine is away */ }
  return follow();
}

function keep(found) {
  token = found;
  sessionStorage.setItem(KEY, token);
}

function ask(path, options = {}) {
  return fetch(path, { ...options, credentials: "omit", headers: { ...options.headers, Authorization: "Bearer " + token } });
}

function take(said) {
  if (said.machine) {
    told.add(said.machine.id);
    if (said.machine.state === "destroyed") machines.delete(said.machine.id);
    else machines.set(said.machine.id, said.machine);
    draw();
  }
  if (said.log) addLine(said.log);
  if (said.ready) begin();
}

/* All machines are known. What was there before, and is no longer, has gone. */
function begin() {
  for (const id of [...machines.keys()]) if (!told.has(id)) machines.delete(id);
  setAway(false);
  const found = [...machines.values()].find(one => wanted && (one.id === wanted || one.name === wanted));
  wanted = null;
  if (found) choose(found.id);
  else if (machines.has(chosen)) loadLog(chosen);
}

function setAway(away) {
  isAway = away;
  at("away").hidden = !away;
  document.body.className = away ? "gone" : "";
  say("link", away ? "away" : "connected");
  draw();
}

async function read(body, still) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    still();
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) take(JSON.parse(line));
  }
}

async function follow() {
  for (let pause = 500; ; pause = Math.min(5000, pause * 2)) {
    const silence = new AbortController();
    let timer = 0;
    const still = () => { clearTimeout(timer); timer = setTimeout(() => silence.abort(), SILENCE_MS); };
    try {
      still();
      const reply = await ask("/engine/happenings", { signal: silence.signal });
      if (reply.status === 401) return login(token ? "The engine does not know this token." : "");
      if (!reply.ok) throw new Error(String(reply.status));
      at("login").hidden = true;
      document.querySelector("header").hidden = document.querySelector("main").hidden = false;
      told = new Set();
      pause = 500;
      await read(reply.body, still);
    } catch { /* told below */ }
    clearTimeout(timer);
    setAway(true);
    await new Promise(resolve => setTimeout(resolve, pause));
  }
}

function login(why) {
  sessionStorage.removeItem(KEY);
  document.querySelector("header").hidden = document.querySelector("main").hidden = at("away").hidden = true;
  at("login").hidden = false;
  at("refused").textContent = why;
  at("token").value = token = "";
  at("token").focus();
}

at("login").addEventListener("submit", event => {
  event.preventDefault();
  keep(at("token").value.trim());
  follow();
});
if (link.get("code")) redeem(link.get("code"));
else follow();
