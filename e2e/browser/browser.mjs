// A real Chromium, and what every test of the page asks of it.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

// patience bounds every wait for something that must happen, in milliseconds.
export const patience = 60_000;

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

// open opens the page as a newcomer and notes what should not be.
export async function open(browser, base, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const seen = { faults: [], foreign: [], firstPaint: 0 };
  const sizes = [];
  page.on("pageerror", (e) => seen.faults.push(`script: ${e.message}`));
  page.on("console", (m) => {
    // A refusal that a test asks for is told by Chromium too.
    if (m.type() === "error" && !/status of (401|422)/.test(m.text()) && !(options.mayFail && /net::ERR_/.test(m.text()))) seen.faults.push(`console: ${m.text()}`);
  });
  page.on("request", (r) => {
    if (new URL(r.url()).origin !== new URL(base).origin) seen.foreign.push(r.url());
  });
  page.on("response", (r) => {
    if (!new URL(r.url()).pathname.startsWith("/v1/")) sizes.push(r.body().then((b) => b.length + JSON.stringify(r.headers()).length, () => 0));
  });
  await page.goto(base);
  await page.waitForLoadState("load");
  seen.firstPaint = (await Promise.all(sizes)).reduce((a, b) => a + b, 0);
  return { page, context, seen };
}

export function clean(seen) {
  assert.deepEqual(seen.faults, [], "faults in the browser");
  assert.deepEqual(seen.foreign, [], "requests to elsewhere");
}

// eventually asks until it gets what holds.
export async function eventually(what, ask, holds) {
  const end = Date.now() + patience;
  for (;;) {
    const got = await ask();
    if (holds(got)) return got;
    if (Date.now() > end) assert.fail(`${what}: still ${JSON.stringify(got)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export const number = (text) => Number(text.replaceAll(",", ""));

// metrics scrapes weir: series with the labels but function as keys.
export async function metrics(address) {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  const found = {};
  for (const line of text.split("\n")) {
    const m = /^(\w+)(?:\{([^}]*)\})? (\S+)$/.exec(line);
    if (!m) continue;
    const labels = [...(m[2] ?? "").matchAll(/(\w+)="([^"]*)"/g)].filter(([, name]) => name !== "function").map(([, name, value]) => `${name}=${value}`);
    found[[m[1], ...labels].join(" ")] = Number(m[3]);
  }
  return found;
}
