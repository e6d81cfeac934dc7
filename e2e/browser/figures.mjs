// The page shows what /metrics says, its history outlives a reload, and everybody
// can read it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { clean, eventually, launch, metrics, number, open } from "./browser.mjs";

const { base, metricsAddress, pictures, running, waiting } = JSON.parse(process.argv[2]);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// shown are the figures of the page.
const shown = (page) =>
  page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    const totals = {};
    for (const row of document.querySelectorAll("#totals div")) totals[row.firstChild.textContent] = row.lastChild.textContent;
    const legends = {};
    for (const f of document.querySelectorAll(".chart")) legends[f.querySelector("h2").textContent] = [...f.querySelectorAll(".legend li")].map((li) => li.textContent);
    return {
      running: text("running"), limit: text("limit"), waiting: text("waiting"), depth: text("depth"), status: text("status"),
      rows: [...document.querySelectorAll("#rows tr")].map((tr) => [...tr.children].map((td) => td.textContent)), totals, legends,
    };
  });

const browser = await launch();
try {
  const { page, context, seen } = await open(browser, base);
  assert.ok(seen.firstPaint < 50 * 1024, `first paint takes ${seen.firstPaint} bytes`);
  const policy = (await page.request.get(base)).headers()["content-security-policy"];
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /unsafe|\*|data:|https?:/);

  // What runs and waits stands still, so that both must say the same.
  const m = await metrics(metricsAddress);
  assert.equal(m["weir_inflight_requests"], running);
  assert.equal(m["weir_waiting_requests"], waiting);
  const got = await eventually("figures", () => shown(page), (s) => number(s.running) === running && s.rows.length === running && s.legends.Waiting[0] === `waiting ${waiting}`);
  assert.equal(number(got.running), m["weir_inflight_requests"]);
  assert.equal(got.limit, `of ${m["weir_inflight_limit"]}`);
  assert.equal(number(got.waiting), m["weir_waiting_requests"]);
  assert.equal(got.status, "ready");
  assert.equal(number(got.totals["most at once, last minute"]), m["weir_inflight_high_water window=1m"]);
  let requests = 0;
  for (const [series, value] of Object.entries(m)) {
    if (series.startsWith("weir_requests_total ")) {
      requests += value;
      const codeClass = /code_class=(\S+)/.exec(series)[1];
      const all = Object.entries(m).filter(([s]) => s.startsWith("weir_requests_total ") && s.includes(`code_class=${codeClass}`)).reduce((a, [, v]) => a + v, 0);
      assert.equal(all === 0 ? undefined : all, got.totals[codeClass] && number(got.totals[codeClass]), codeClass);
    }
    if (series.startsWith("weir_throttles_total ")) {
      const reason = /reason=(\S+)/.exec(series)[1];
      assert.equal(value, number(got.totals[`refused: ${reason}`] ?? "0"), reason);
    }
  }
  assert.ok(requests > 0, "there were requests");
  assert.equal(number(got.totals.requests), requests);
  assert.ok(Object.keys(got.totals).some((k) => k.startsWith("refused: ")), "some were refused");
  assert.deepEqual(got.rows.map((r) => [r[2], r[3]]), new Array(running).fill(["GET", "/held/<b>%3Cscript%3E"]));
  assert.deepEqual(got.legends.Running, [`mean ${running}`, `limit ${running}`]);

  // A reload shows what was before it.
  const before = Date.now();
  await page.reload();
  const chart = page.getByRole("img", { name: "Running" });
  await eventually("the history", () => shown(page), (s) => number(s.running) === running);
  await chart.focus();
  await page.keyboard.press("Home");
  const when = await chart.locator("xpath=..").locator(".when").textContent();
  const ago = Number(/^(\d+) s ago$/.exec(when)[1]);
  assert.ok(ago > (Date.now() - before) / 1000, `after a reload the first sample is ${when}`);
  assert.match(await chart.locator("xpath=../figcaption").textContent(), /seconds ago, and over the last ten minutes\. mean: /);
  await page.keyboard.press("Escape");
  assert.equal(await chart.locator("xpath=..").locator(".when").count(), 0);

  // Nobody is left out.
  for (const [name, options] of Object.entries({
    light: { colorScheme: "light" },
    dark: { colorScheme: "dark" },
    phone: { colorScheme: "light", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
    "phone-dark": { colorScheme: "dark", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  })) {
    const view = await open(browser, base, options);
    await eventually(`${name}: figures`, () => shown(view.page), (s) => number(s.running) === running && s.rows.length === running);
    const wide = await view.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${name}: the page is ${wide} pixels too wide`);
    await view.page.evaluate(axe);
    const { violations } = await view.page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html + " " + n.failureSummary).join("; ")}`), [], name);
    if (pictures) await view.page.screenshot({ path: `${pictures}/page-${name}.png`, fullPage: true });
    clean(view.seen);
    await view.context.close();
  }
  clean(seen);
  await context.close();
  console.log(`first paint ${seen.firstPaint} bytes`);
} finally {
  await browser.close();
}
