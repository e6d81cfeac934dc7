// The page in front of a weir under load, for as many minutes as are asked for: it
// stays right, and does not grow.

import assert from "node:assert/strict";
import { clean, eventually, launch, metrics, number, open } from "./browser.mjs";

const { base, metricsAddress, minutes } = JSON.parse(process.argv[2]);

// Full histories are compared: of ten minutes on the page, and of as long as the
// collector of Chromium takes to settle.
const settled = Math.min(15, Math.max(1, Math.floor(minutes / 4)));

async function ended() {
  const m = await metrics(metricsAddress);
  return Object.entries(m).filter(([series]) => series.startsWith("weir_requests_total ")).reduce((sum, [, value]) => sum + value, 0);
}

const browser = await launch();
try {
  const { page, context, seen } = await open(browser, base);
  const devtools = await context.newCDPSession(page);
  await devtools.send("Performance.enable");
  const shown = async () => number((await page.locator("#totals dd").first().textContent()) || "0");

  // right asks whether the page says what /metrics says: not less than before, and
  // not more than afterwards.
  async function right(when) {
    const before = await ended();
    const got = await eventually(`${when}: ${before} requests`, shown, (n) => n >= before);
    const after = await ended();
    assert.ok(got <= after, `${when}: the page shows ${got} requests, /metrics ${after}`);
    return got;
  }

  async function measure() {
    await devtools.send("HeapProfiler.collectGarbage");
    const { metrics } = await devtools.send("Performance.getMetrics");
    const of = (name) => metrics.find((m) => m.name === name).value;
    return { heap: of("JSHeapUsedSize"), nodes: of("Nodes"), listeners: of("JSEventListeners") };
  }

  const begin = Date.now();
  let early, late, requests;
  for (let minute = 1; minute <= minutes; minute++) {
    await new Promise((resolve) => setTimeout(resolve, begin + minute * 60_000 - Date.now()));
    requests = await right(`minute ${minute}`);
    late = await measure();
    if (minute === settled) early = late;
    if (minute % 5 === 0 || minute === settled || minute === minutes) {
      console.log(`minute ${minute}: ${requests} requests, heap ${(late.heap / 1024).toFixed(0)} KiB, ${late.nodes} nodes, ${late.listeners} listeners`);
    }
  }
  const points = await page.evaluate(() => document.querySelector(".chart path.linear").getAttribute("d").split(/[ML]/).length - 1);
  assert.ok(points <= 600, `the chart has ${points} points`);
  assert.ok(points >= Math.min(590, minutes * 60 - 10), `the chart has ${points} points`);
  assert.ok(late.nodes <= early.nodes + 200, `nodes: ${early.nodes}, then ${late.nodes}`);
  assert.ok(late.listeners <= early.listeners + 5, `listeners: ${early.listeners}, then ${late.listeners}`);
  assert.ok(late.heap <= early.heap * 1.25 + 512 * 1024, `heap: ${early.heap}, then ${late.heap}`);
  clean(seen);
} finally {
  await browser.close();
}
