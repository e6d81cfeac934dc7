// The page changes limits and drains, by keyboard, with a token where one is set,
// and comes back when weir does.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { clean, eventually, launch, metrics, open } from "./browser.mjs";

const { base, metricsAddress, token, limit } = JSON.parse(process.argv[2]);
const input = createInterface({ input: process.stdin });
const lines = input[Symbol.asyncIterator]();

// told asks whoever runs this for something, and waits until it is done.
async function told(what) {
  console.log(what);
  await lines.next();
}

const browser = await launch();
try {
  const { page, seen } = await open(browser, base, { mayFail: true });
  const text = (id) => page.locator(`#${id}`).textContent();

  // Without the token there is nothing to see.
  await page.getByRole("textbox", { name: "Token" }).waitFor();
  assert.equal(await page.locator("#all").isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement.id), "token");
  await page.keyboard.type("not-the-token-at-all");
  await page.keyboard.press("Enter");
  await eventually("a wrong token", () => text("token-error"), (t) => t.includes("the token is not the one in force"));
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
  await eventually("the right token", () => page.locator("#all").isVisible(), (v) => v);
  await eventually("the limit", () => text("limit"), (t) => t === `of ${limit}`);
  assert.deepEqual([await page.locator("#async").isVisible(), await page.locator("#dead").isVisible()], [false, false], "there is no queue");
  assert.ok(!page.url().includes(token), "the token is in the address");
  assert.deepEqual(await page.evaluate(() => [Object.keys(localStorage), document.cookie]), [[], ""]);

  // A limit, by keyboard.
  const field = page.getByLabel("max_inflight", { exact: true });
  await field.focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.type("7");
  await new Promise((resolve) => setTimeout(resolve, 1500)); // events come, and leave what is being edited alone
  assert.equal(await field.inputValue(), "7");
  await page.keyboard.press("Enter");
  await eventually("the new limit", () => text("limit"), (t) => t === "of 7");
  assert.equal((await metrics(metricsAddress))["weir_inflight_limit"], 7);
  await eventually("what was said", () => text("limits-said"), (t) => t === "Changed: max_inflight is 7.");
  await eventually("what is configured", () => text("limit-max_inflight-note"), (t) => t === `configured: ${limit}`);

  // What cannot be changed offers no change.
  assert.equal(await page.getByLabel("nats_url", { exact: true }).getAttribute("readonly"), "");
  assert.equal(await text("limit-nats_url-note"), "needs a restart");

  // A mistake says where it is.
  await field.fill("ten");
  await page.getByRole("button", { name: "Change" }).click();
  await eventually("a mistake", () => field.getAttribute("aria-invalid"), (v) => v === "true");
  assert.match(await text("limit-max_inflight-note"), /"ten" is not a number, "auto" or 0/);
  assert.match(await text("limits-said"), /^Nothing was changed\. max_inflight: "ten" is not a number/);
  assert.equal((await metrics(metricsAddress))["weir_inflight_limit"], 7);
  await field.fill("7");

  await page.getByRole("button", { name: "Put back what is configured" }).click();
  await eventually("put back", () => text("limit"), (t) => t === `of ${limit}`);
  assert.equal((await metrics(metricsAddress))["weir_inflight_limit"], limit);

  // weir goes and comes back.
  await told("restart");
  await eventually("after a restart", () => text("status"), (t) => t === "ready");
  await eventually("its age", () => text("about"), (t) => /up \d s$/.test(t));

  // Draining is asked twice.
  const drain = page.getByRole("button", { name: "Drain …" });
  await drain.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(await text("status"), "ready");
  await drain.click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal(await text("status"), "ready");
  await drain.click();
  await page.getByRole("dialog").getByRole("button", { name: "Drain" }).click();
  await eventually("draining", () => text("status"), (t) => t === "drained");
  await eventually("the button", () => drain.isDisabled(), (v) => v);
  assert.equal((await fetch(`http://${metricsAddress}/readyz`)).status, 503);
  await eventually("the announcement", () => text("announce"), (t) => t.startsWith("Draining."));
  clean(seen);
} finally {
  input.close();
  process.stdin.destroy();
  await browser.close();
}
