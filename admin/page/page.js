import { Chart, element } from "./chart.js";
import { History } from "./history.js";
import { Letters } from "./letters.js";
import { keep, set } from "./list.js";
import { change, follow, get, setToken } from "./sidecar.js";

const $ = (id) => document.getElementById(id);
const text = (id, value) => {
  if ($(id).textContent !== value) $(id).textContent = value;
};

// How figures are shown.
const count = (v) => (v >= 10 || Number.isInteger(v) ? Math.round(v).toLocaleString("en") : v.toFixed(1));
const duration = (s) => {
  if (s === null) return "–";
  if (s >= 60) return `${Math.floor(s / 60)}m ${Math.floor(s % 60)}s`;
  if (s >= 1) return `${s.toFixed(s >= 10 ? 0 : 2)} s`;
  if (s >= 0.001) return `${(s * 1000).toFixed(s >= 0.1 ? 0 : 1)} ms`;
  return s === 0 ? "0" : `${(s * 1e6).toFixed(0)} µs`;
};
const age = (s) => {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"]].find(([n]) => s >= n) ?? [1, "s"];
  return `${Math.floor(s / parts[0])} ${parts[1]}`;
};

// The top of the scale of whole things is an even number, so that its half is one.
const whole = (v) => {
  const top = [2, 4, 6, 8, 10].find((n) => n >= v);
  if (top) return top;
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10].map((m) => m * power).find((n) => n >= v * 0.999999);
};

const history = new History();
const charts = {
  running: new Chart($("charts"), { title: "Running", format: count, tidy: (v) => whole(v * 1.05) }),
  waiting: new Chart($("charts"), { title: "Waiting", format: count, tidy: whole }),
  refused: new Chart($("charts"), { title: "Refused a second", format: count, tidy: whole }),
  latency: new Chart($("charts"), { title: "Duration of requests", format: duration }),
};

// Each reason keeps its color.
const reasonColors = {
  max_inflight: "s1", queue_full: "s2", queue_timeout: "s3", caller: "s4", rate: "s5", draining: "s6",
  ramp: "s7", priority: "s8", function: "s5", account: "s4", loop: "s6",
};
const colorOf = (reason) => reasonColors[reason] ?? "s6";

function drawCharts(now) {
  const ages = history.ages(now);
  const limits = history.limit.map((n) => (n === 0 ? null : n));
  charts.running.update(ages, [
    { name: "mean", kind: "area", color: "s1", values: history.concurrency },
    { name: "limit", kind: "dashed", color: "ink", values: limits },
  ]);
  charts.waiting.update(ages, [{ name: "waiting", kind: "area", color: "s2", values: history.waiting }]);
  charts.refused.update(
    ages,
    Object.keys(history.throttled).sort().map((reason) => ({ name: reason, kind: "stack", color: colorOf(reason), values: history.perSecond(history.throttled[reason]) })),
  );
  charts.latency.update(ages, [
    { name: "50 %", kind: "line", color: "q1", values: history.p50_seconds },
    { name: "95 %", kind: "line", color: "q2", values: history.p95_seconds },
    { name: "99 %", kind: "line", color: "q3", values: history.p99_seconds },
  ]);
}

// What a screen reader is told, when it changes and not more than that.
let announced = "";
function announce(said) {
  if (said === announced) return;
  announced = said;
  text("announce", said);
}

function showStatus(kind, said) {
  $("status").dataset.kind = kind;
  text("status", said);
}

let described = 0; // when the charts were last told in words
function showState(s) {
  const now = Date.parse(s.time);
  document.title = `${s.function.name} – weir`;
  text("function", s.function.name + (s.function.version ? ` ${s.function.version}` : ""));
  text("about", `in front of ${s.upstream.url}, weir ${s.weir_version}, up ${age((now - Date.parse(s.started_at)) / 1000)}`);
  const inside = s.inflight + s.waiting;
  if (s.draining) showStatus("bad", inside > 0 ? `draining, ${inside} inside` : "drained");
  else if (!s.ready) showStatus("bad", `not ready: ${s.not_ready_reason}`);
  else showStatus("ready", "ready");

  text("running", count(s.inflight));
  text("limit", s.limit > 0 ? `of ${count(s.limit)}` : "no limit");
  $("saturation").hidden = s.limit === 0;
  if (s.limit > 0) {
    $("saturation").max = s.limit;
    $("saturation").high = s.limit * 0.9;
    $("saturation").value = Math.min(s.inflight, s.limit);
  }
  text("waiting", count(s.waiting));
  text("depth", s.queue_depth > 0 ? `of ${count(s.queue_depth)} that may` : "");
  const refused = Object.values(s.second.throttled).reduce((a, b) => a + b, 0) / (s.second.seconds || 1);
  text("refused", count(refused));
  text("ended", count(s.second.ended / (s.second.seconds || 1)));
  text("failed", count(s.second.failed));
  text("p50", duration(s.second.p50_seconds));
  text("p99", s.second.p99_seconds === null ? "nobody ended" : `99 %: ${duration(s.second.p99_seconds)}`);

  $("async").hidden = $("dead").hidden = !s.async;
  if (s.async) {
    const a = s.async;
    text("async-waiting", a.up ? count(a.waiting) : "down");
    text("async-running", count(a.running));
    text("async-more", [a.waiting > 0 && `the oldest ${age(a.oldest_age_seconds)}`, a.scheduled > 0 && `${count(a.scheduled)} for later`].filter(Boolean).join(", "));
    letters.show(a, connection.signal);
  }

  const reasons = Object.keys(s.second.throttled).sort();
  announce(
    (s.draining ? "Draining." : s.ready ? "Ready." : `Not ready: ${s.not_ready_reason}.`) +
      (reasons.length > 0 ? ` Refusing requests: ${reasons.join(", ").replaceAll("_", " ")}.` : s.limit > 0 && s.inflight >= s.limit ? " Every slot is taken." : ""),
  );
  if (now - described > 10000) {
    described = now;
    for (const c of Object.values(charts)) c.describe();
  }
  showTotals(s);
  showLimits(s.limits);
  $("drain").disabled = s.draining;
  drawCharts(now);
}

function showTotals(s) {
  const rows = [["requests", s.requests.total]];
  for (const [name, n] of Object.entries(s.requests.by_code_class)) if (n > 0) rows.push([name, n]);
  for (const [name, n] of Object.entries(s.requests.by_origin)) if (n > 0) rows.push([`by ${name === "function" ? "the function" : name === "client" ? "a client that left" : "weir"}`, n]);
  for (const [name, n] of Object.entries(s.throttles)) if (n > 0) rows.push([`refused: ${name}`, n]);
  rows.push(["most at once, last minute", s.high_water]);
  keep($("totals"), rows.length, () => element("div", {}, element("dt"), element("dd")), (node, i) => {
    set(node.firstChild, rows[i][0]);
    set(node.lastChild, rows[i][1].toLocaleString("en"));
  });
}

// The table of running requests.
const shownRows = 50;
let asking = false;
async function showRunning(signal) {
  if (asking) return; // the last answer has not come yet
  asking = true;
  try {
    const t = await get(`v1/inflight?limit=${shownRows}`, signal);
    text("table-count", t.total === 0 ? "none" : t.total > t.requests.length ? `the oldest ${t.requests.length} of ${count(t.total)}` : count(t.total));
    keep($("rows"), t.requests.length, row, (tr, i) => {
      const r = t.requests[i];
      [duration(r.age_seconds), duration(r.waited_seconds), r.method, r.path, r.client].forEach((v, c) => set(tr.children[c], v));
    });
  } finally {
    asking = false;
  }
}

function row() {
  const cells = ["number", "number", "", "path", ""].map((c) => element("td", c ? { class: c } : {}));
  return element("tr", {}, ...cells);
}

// The limits, each with a field. One that somebody is editing is left alone.
let limits = { in_force: {}, configured: {}, needs_restart: [] };
const shownValue = (v) => (Array.isArray(v) ? v.join(",") : String(v));
const typed = (value, like) => {
  if (value === "true" || value === "false") return value === "true";
  if (/^-?(0|[1-9][0-9]*)$/.test(value)) return Number(value);
  return Array.isArray(like) ? value.split(",").map((v) => v.trim()).filter((v) => v !== "") : value;
};
const field = (name) => $(`limit-${name}`);
const edited = (name) => field(name).value.trim() !== field(name).dataset.shown;

function showLimits(l) {
  limits = l;
  const names = Object.keys(l.in_force).sort((a, b) => (a === "max_inflight" ? -1 : b === "max_inflight" ? 1 : a.localeCompare(b)));
  keep($("limits"), names.length, () => element("div", { class: "field" }, element("label"), element("input", { autocomplete: "off", spellcheck: "false" }), element("span", { class: "quiet" })), (node, i) => {
    const [label, input, note] = node.children;
    const name = names[i];
    const id = `limit-${name}`;
    if (input.id !== id) {
      input.id = id;
      input.dataset.shown = "";
      input.value = "";
      note.id = `${id}-note`;
      label.htmlFor = id;
      input.setAttribute("aria-describedby", note.id);
      // Where it is too long for its column, it breaks between its words.
      label.replaceChildren(...name.split(/(?<=[._/])/).flatMap((part) => [element("wbr"), part]));
    }
    const value = shownValue(l.in_force[name]);
    if (input.value.trim() === input.dataset.shown) input.value = value; // nobody is editing it
    input.dataset.shown = value;
    input.readOnly = l.needs_restart.includes(name);
    if (input.getAttribute("aria-invalid") !== "true") {
      const configured = shownValue(l.configured[name]);
      set(note, input.readOnly ? "needs a restart" : configured === value ? "" : `configured: ${configured}`);
    }
  });
  $("reset").disabled = names.every((n) => shownValue(l.in_force[n]) === shownValue(l.configured[n]));
}

async function changeLimits(patch) {
  const said = $("limits-said");
  delete said.dataset.bad;
  for (const input of $("limits").querySelectorAll("input")) input.removeAttribute("aria-invalid");
  try {
    const l = await change("PATCH", "v1/limits", patch);
    for (const name of Object.keys(patch)) field(name).value = field(name).dataset.shown;
    showLimits(l);
    said.textContent = `Changed: ${Object.keys(patch).map((n) => `${n} is ${shownValue(l.in_force[n])}`).join(", ")}.`;
  } catch (err) {
    said.dataset.bad = "";
    said.textContent = `Nothing was changed. ${err.message}`;
    for (const e of err.errors ?? []) {
      const input = e.pointer && field(e.pointer.slice(1).replaceAll("~1", "/").replaceAll("~0", "~"));
      if (!input) continue;
      input.setAttribute("aria-invalid", "true");
      input.nextElementSibling.textContent = e.detail;
    }
    $("limits").querySelector("[aria-invalid=true]")?.focus();
  }
}

$("limits-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const patch = {};
  for (const name of Object.keys(limits.in_force)) if (edited(name)) patch[name] = typed(field(name).value.trim(), limits.in_force[name]);
  if (Object.keys(patch).length === 0) {
    delete $("limits-said").dataset.bad;
    $("limits-said").textContent = "Nothing to change.";
    return;
  }
  changeLimits(patch);
});
$("reset").addEventListener("click", () => {
  const patch = {};
  for (const name of Object.keys(limits.in_force)) if (shownValue(limits.in_force[name]) !== shownValue(limits.configured[name])) patch[name] = null;
  changeLimits(patch);
});

// confirmed asks before what cannot be taken back.
function confirmed(title, what, action) {
  text("confirm-title", title);
  text("confirm-what", what);
  text("confirm-yes", action);
  $("confirm").returnValue = "";
  $("confirm").showModal();
  return new Promise((resolve) => $("confirm").addEventListener("close", () => resolve($("confirm").returnValue === "yes"), { once: true }));
}

const letters = new Letters({ count, age, confirmed });

$("drain").addEventListener("click", async () => {
  if (!(await confirmed("Drain this sidecar?", "It will refuse every new request. There is no way back but a restart.", "Drain"))) return;
  try {
    const d = await change("POST", "v1/drain", {});
    delete $("drain-said").dataset.bad;
    $("drain-said").textContent = `Draining: ${d.inflight + d.waiting} inside.`;
  } catch (err) {
    $("drain-said").dataset.bad = "";
    $("drain-said").textContent = err.message;
  }
});

$("token-form").addEventListener("submit", (e) => {
  e.preventDefault();
  setToken($("token").value.trim());
  $("token").value = "";
  start();
});

// The connection: one at a time, none while nobody looks.
let connection = new AbortController();
let tries = 0;

async function start() {
  connection.abort();
  connection = new AbortController();
  const { signal } = connection;
  while (!signal.aborted) {
    try {
      history.replace(await get("v1/history", signal));
      await follow(signal, (s) => {
        tries = 0;
        $("enter").hidden = true;
        $("all").hidden = false;
        if (!history.add(s.second)) refill(signal);
        showState(s);
        showRunning(signal).catch(() => {}); // the stream tells of what is wrong
      });
    } catch (err) {
      if (signal.aborted) return;
      if (err.status === 401) return askForToken(err);
      showStatus("bad", err.status ? err.message : "no connection to weir, trying again");
      announce("No connection to weir.");
    }
    tries++;
    await new Promise((resolve) => setTimeout(resolve, Math.min(1000 * tries, 10000)));
  }
}

// refill fetches samples that were missed.
let refilling = false;
async function refill(signal) {
  if (refilling) return;
  refilling = true;
  try {
    history.replace(await get("v1/history", signal));
  } catch {
    // the stream tells of what is wrong
  } finally {
    refilling = false;
  }
}

function askForToken(err) {
  $("all").hidden = true;
  $("enter").hidden = false;
  text("token-error", sessionStorage.getItem("weir-token") ? err.message : "");
  showStatus("waiting", "locked");
  announce("A token is needed.");
  $("token").focus();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) connection.abort();
  else start();
});
if (!document.hidden) start();
