// The page shows the queue, and redrives dead letters, with the token.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { clean, eventually, launch, metrics, number, open } from "./browser.mjs";

const { base, metricsAddress, pictures, token, dead, ids } = JSON.parse(process.argv[2]);
const input = createInterface({ input: process.stdin });
const lines = input[Symbol.asyncIterator]();

async function told(what) {
  console.log(what);
  await lines.next();
}

async function enter(page) {
  await page.getByRole("textbox", { name: "Token" }).waitFor();
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await eventually("the queue", () => page.locator("#async").isVisible(), (v) => v);
}

const browser = await launch();
try {
  const { page, seen } = await open(browser, base);
  const text = (id) => page.locator(`#${id}`).textContent();
  const rows = page.locator("#letters tr");
  await enter(page);

  // The figures are those of /metrics, one call running and the others waiting.
  const m = await metrics(metricsAddress);
  assert.equal(m["weir_dead_letters"], dead);
  await eventually("waiting", () => text("async-waiting"), (t) => number(t) === m["weir_async_depth"] - 1); // one is for later
  await eventually("running", () => text("async-running"), (t) => number(t) === m["weir_async_running"]);
  await eventually("the oldest", () => text("async-more"), (t) => /^the oldest \d+ (s|min), 1 for later$/.test(t));
  await eventually("the number of dead letters", () => text("dead-count"), (t) => t === String(dead));
  await eventually("the dead letters", () => rows.count(), (n) => n === dead);
  const first = await rows.first().locator("td").allTextContents();
  assert.match(first[0], /^\d+ (s|min)$/);
  assert.deepEqual(first.slice(1, 5), ["2", "503", "POST /orders?n=0&x=<b>", "the function answered 503, in attempt 2 of 2"]);
  assert.equal(await rows.first().getAttribute("title"), ids[0]);

  if (pictures) {
    for (const [name, options] of [["queue-light", {}], ["queue-dark", { colorScheme: "dark" }], ["queue-phone", { viewport: { width: 360, height: 740 } }]]) {
      const view = await open(browser, base, options);
      await enter(view.page);
      await eventually(`${name}: the dead letters`, () => view.page.locator("#letters tr").count(), (n) => n === dead);
      const edge = await view.page.getByRole("button", { name: `Redrive ${ids[0]}` }).evaluate((b) => Math.max(0, b.getBoundingClientRect().right - document.documentElement.clientWidth));
      assert.equal(edge, 0, `${name}: the button is out of sight`);
      await view.page.screenshot({ path: `${pictures}/page-${name}.png`, fullPage: true });
      const wide = await view.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(wide <= 0, `${name}: the page is ${wide} pixels wider than its window`);
      clean(view.seen);
      await view.context.close();
    }
  }

  // One, by keyboard.
  await told("heal");
  const button = page.getByRole("button", { name: `Redrive ${ids[0]}` });
  await button.focus();
  await page.keyboard.press("Enter");
  await eventually("what was said", () => text("redrive-said"), (t) => t === `${ids[0]} is in the queue again.`);
  await eventually("one less", () => text("dead-count"), (t) => t === String(dead - 1));
  await eventually("its row is gone", () => rows.first().getAttribute("title"), (t) => t === ids[1]);

  // All, once it is confirmed.
  const all = page.getByRole("button", { name: "Redrive all …" });
  await all.click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal((await metrics(metricsAddress))["weir_dead_letters"], dead - 1);
  await all.click();
  assert.match(await page.getByRole("dialog").textContent(), new RegExp(`${dead - 1} calls go back into the queue`));
  await page.getByRole("dialog").getByRole("button", { name: "Redrive all" }).click();
  await eventually("what was said", () => text("redrive-said"), (t) => t === `${dead - 1} redriven.`);
  await eventually("none is left", () => text("dead-count"), (t) => t === "none");
  assert.equal(await all.isVisible(), false);
  assert.equal(await page.locator("#dead-table").isVisible(), false);
  clean(seen);
} finally {
  input.close();
  process.stdin.destroy();
  await browser.close();
}
