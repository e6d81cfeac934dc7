// An hour of events in some seconds: the page stays right, and does not grow.

import assert from "node:assert/strict";
import { eventually, launch, patience } from "./browser.mjs";

const { base } = JSON.parse(process.argv[2]);
const state = await (await fetch(`${base}/v1/state`)).json();
const history = await (await fetch(`${base}/v1/history`)).json();
const reasons = ["max_inflight", "queue_full", "queue_timeout"];

// event is that of second n of the hour.
function event(n) {
  const time = new Date(Date.parse(state.time) + n * 1000).toISOString();
  const second = {
    sequence: history.sequence + n, time, seconds: 1, inflight: n % 11, waiting: n % 7, limit: 10, concurrency: n % 11, ended: n, failed: 0,
    throttled: n % 3 ? { [reasons[n % 2]]: n % 50 } : {}, p50_seconds: n % 5 ? 0.01 : null, p95_seconds: n % 5 ? 0.1 : null, p99_seconds: n % 5 ? 0.5 : null,
  };
  return `event: state\nid: ${n}\ndata: ${JSON.stringify({ ...state, time, inflight: n % 11, requests: { ...state.requests, total: n }, second })}\n\n`;
}

const browser = await launch();
try {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("Performance.enable");
  const faults = [];
  page.on("pageerror", (e) => faults.push(e.message));
  let next = 1;
  let upTo = 0;
  const pending = [];
  await page.route("**/v1/inflight*", (route) => {
    const rows = Array.from({ length: next % 40 }, (_, i) => ({ id: `${next}.${i}`, method: "GET", path: `/${next}/${i}`, protocol: "HTTP/1.1", client: "127.0.0.1", started_at: state.time, age_seconds: i, waited_seconds: 0 }));
    return route.fulfill({ json: { time: state.time, total: rows.length, requests: rows } });
  });
  await page.route("**/v1/history", (route) => route.fulfill({ json: { ...history, sequence: history.sequence + next - 1, ...(next > 1 ? columns() : {}) } }));
  // Each stream is five minutes long, and the page then asks for the next.
  await page.route("**/v1/events", async (route) => {
    if (next > upTo) await new Promise((resolve) => pending.push(resolve));
    let body = "";
    for (const end = Math.min(next + 299, upTo); next <= end; ) body += event(next++);
    await route.fulfill({ contentType: "text/event-stream", body }).catch(() => {}); // the page may be gone
  });

  // columns are what a history of the seconds so far would hold.
  function columns() {
    const seconds = Array.from({ length: Math.min(next - 1, 600) }, (_, i) => JSON.parse(/data: (.*)/.exec(event(next - Math.min(next - 1, 600) + i))[1]).second);
    const c = { time_ms: seconds.map((s) => Date.parse(s.time)), throttled: {} };
    for (const k of ["seconds", "inflight", "waiting", "limit", "concurrency", "ended", "failed", "p50_seconds", "p95_seconds", "p99_seconds"]) c[k] = seconds.map((s) => s[k]);
    for (const r of reasons) if (seconds.some((s) => s.throttled[r])) c.throttled[r] = seconds.map((s) => s.throttled[r] ?? 0);
    return c;
  }

  // run plays the hour up to a second, and measures the page then.
  async function run(to) {
    upTo = to;
    pending.splice(0).forEach((resolve) => resolve());
    await eventually(`second ${to}`, () => page.locator("#totals dd").first().textContent(), (t) => t === to.toLocaleString("en"));
    await devtools.send("HeapProfiler.collectGarbage");
    const { metrics } = await devtools.send("Performance.getMetrics");
    const of = (name) => metrics.find((m) => m.name === name).value;
    return { heap: of("JSHeapUsedSize"), nodes: of("Nodes"), listeners: of("JSEventListeners") };
  }

  await page.goto(base);
  const early = await run(900); // the history is full by then
  const late = await run(3600);
  const samples = await page.evaluate(() => document.querySelector(".chart path.linear").getAttribute("d").split(/[ML]/).length - 1);
  assert.ok(samples <= 600, `the chart has ${samples} points`);
  assert.ok(samples >= 590, `the chart has ${samples} points`);
  assert.ok(late.nodes <= early.nodes + 200, `nodes: ${early.nodes}, then ${late.nodes}`);
  assert.ok(late.listeners <= early.listeners + 5, `listeners: ${early.listeners}, then ${late.listeners}`);
  assert.ok(late.heap <= early.heap * 1.25 + 512 * 1024, `heap: ${early.heap}, then ${late.heap}`);
  assert.deepEqual(faults, []);
  console.log(`heap ${(early.heap / 1024).toFixed(0)} KiB after 15 min, ${(late.heap / 1024).toFixed(0)} KiB after an hour; nodes ${early.nodes}, ${late.nodes}`);
} finally {
  await browser.close();
}
