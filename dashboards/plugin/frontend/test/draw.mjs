// Loads the built plugin in headless Chromium, uses it as a person would, and takes
// pictures of it.
//
//   node test/draw.mjs PLUGIN ANSWERS OUT
//
// PLUGIN is what make plugin has built; ANSWERS has what its backend answered in front of
// a real weir (go test -record). Exits with 1 where anything is not as it should be.
import { build } from 'esbuild';
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [plugin, answers, out] = process.argv.slice(2);
if (!out) {
  console.error('usage: node test/draw.mjs PLUGIN ANSWERS OUT');
  process.exit(2);
}

const read = async (name) => JSON.parse(await readFile(path.join(answers, `${name}.json`), 'utf8'));
const [state, inflight, callers, dead] = await Promise.all(['state', 'inflight', 'callers', 'dead_letters'].map(read));
const column = (frame, name) => frame.schema.fields.findIndex((f) => f.name === name);
const id = (row) => dead.frames[0].data.values[1][row];
const resource = '/api/datasources/uid/weir/resources/';
const base = { id: 7, uid: 'weir', name: 'weir', type: 'weir-weir-datasource' };
const names = { url: 'resources/sidecars$', data: { sidecars: ['checkout-0', 'checkout-1'] } };

// Each draws something and uses it.
const scenes = {
  async 'config-empty'(page, g) {
    await g.show('config', { value: { ...base, jsonData: {}, secureJsonFields: {} } });
    await page.getByLabel('Name of sidecar 1').fill('checkout-0');
    await page.getByLabel('URL of sidecar 1').fill('http://10.0.0.1:9465');
    await page.getByRole('button', { name: 'Add a sidecar' }).click();
    await page.getByLabel('Name of sidecar 2').fill('checkout-0');
    await page.getByLabel('URL of sidecar 2').fill('https://10.0.0.2:9465');
    await page.getByText('Another one is named checkout-0').waitFor();
    await page.getByLabel('Name of sidecar 2').fill('checkout-1');
    await page.getByLabel('Token', { exact: true }).fill('secret');
    await page.getByText('Use https:// for checkout-0.').waitFor();
    await page.getByLabel('Timeout in seconds').fill('90');
    await page.getByText('From 0.1 to 60 seconds').waitFor();
    await page.getByLabel('Timeout in seconds').fill('2.5');
    await page.getByLabel('Authorities').fill('PEM');
    const value = await g.value();
    assert.deepEqual(value.jsonData, {
      sidecars: [{ name: 'checkout-0', url: 'http://10.0.0.1:9465' }, { name: 'checkout-1', url: 'https://10.0.0.2:9465' }],
      timeoutSeconds: 2.5,
    });
    assert.deepEqual(value.secureJsonData, { token: 'secret', tlsCACert: 'PEM' });
    await page.getByLabel('Remove sidecar 1').click();
    assert.deepEqual((await g.value()).jsonData.sidecars.map((s) => s.name), ['checkout-1']);
  },
  async 'config-saved'(page, g) {
    const jsonData = { sidecars: [{ name: 'checkout-0', url: 'https://10.0.0.1:9465' }, { name: 'check out', url: 'https://10.0.0.2:9465' }] };
    await g.show('config', { value: { ...base, jsonData, secureJsonFields: { token: true, tlsCACert: true } }, mode: 'light' });
    await page.getByText('A name has 1 to 63').waitFor();
    assert.ok(await page.getByLabel('Token', { exact: true }).isDisabled());
    await picture(page, 'config-saved-secrets');
    await page.getByRole('button', { name: 'Reset' }).first().click();
    await page.getByLabel('Token', { exact: true }).fill('another');
    const value = await g.value();
    assert.deepEqual([value.secureJsonFields, value.secureJsonData], [{ token: false, tlsCACert: true }, { token: 'another' }]);
  },
  async 'query-state'(page, g) {
    await g.show('query', { value: { refId: 'A' } });
    await page.getByText('Concurrency').waitFor();
    await page.getByLabel('Series').click();
    await page.getByRole('option', { name: /Throttles/ }).click();
    await page.keyboard.press('Escape');
    await page.getByLabel('Sidecars').click();
    await page.getByRole('option', { name: 'checkout-1' }).click();
    await page.keyboard.press('Escape');
    await page.getByLabel('Live').setChecked(false, { force: true });
    const { queryType, groups, sidecars, live } = await g.value();
    assert.deepEqual([queryType, groups, sidecars, live], ['state', ['concurrency', 'throttles'], 'checkout-1', false]);
    assert.equal((await g.asked()).filter((a) => a === 'run').length, 3);
  },
  async 'query-table'(page, g) {
    await g.show('query', { value: { refId: 'A', queryType: 'state' }, mode: 'light' });
    await page.getByLabel('What to show').click();
    await page.getByRole('option', { name: /Dead letters/ }).click();
    await page.getByLabel('Rows').fill('5000');
    await page.getByText('A number from 1 to 1000').waitFor();
    await picture(page, 'query-table-fault');
    await page.getByLabel('Rows').blur();
    assert.equal((await g.value()).limit, undefined);
    await page.getByLabel('Rows').fill('50');
    await page.getByLabel('Rows').blur();
    assert.deepEqual([(await g.value()).queryType, (await g.value()).limit], ['dead_letters', 50]);
    await page.getByLabel('What to show').click();
    await page.getByRole('option', { name: /^Calls/ }).click();
    await page.getByLabel('State of the calls').click();
    await page.getByRole('option', { name: 'retrying' }).click();
    assert.deepEqual([(await g.value()).queryType, (await g.value()).state], ['calls', 'retrying']);
    await page.getByLabel('What to show').click();
    await page.getByRole('option', { name: /^Top callers/ }).click();
    await page.getByLabel('Rows').waitFor({ state: 'detached' });
    assert.equal((await g.value()).queryType, 'callers');
  },
  async 'query-fault'(page, g) {
    await g.answer([{ url: 'sidecars$', status: 502, data: { message: 'checkout-0: it refuses the token (401)' } }]);
    await g.show('query', { value: { refId: 'A', queryType: 'inflight' } });
    await page.getByText('it refuses the token (401)').waitFor();
  },
  async 'panel-editor'(page, g) {
    await g.show('panel', { value: dead.frames, role: 'Editor', width: 1240, height: 300 });
    await page.getByText('3 calls').waitFor();
    for (const row of [0, 1, 2]) {
      await page.getByText(id(row)).waitFor();
    }
    await picture(page, 'panel-before');
    await g.answer([{ url: 'redrive$', data: { redriven: 1 } }]);
    await page.getByLabel(`Redrive ${id(1)}`).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Redrive', exact: true }).click();
    await page.getByText('done').waitFor();
    assert.deepEqual(await g.asked(), [{ method: 'POST', url: `${resource}sidecars/checkout-0/dead-letters/${id(1)}/redrive`, data: {} }]);
    assert.deepEqual((await g.said()).map((s) => [s.type, s.payload?.[0]])[0], ['alert-success', `The call runs again: ${id(1)}`]);
    // The backend refuses, and says why.
    await g.answer([{ url: 'redrive$', status: 403, data: { message: 'this takes the role Editor or Admin' } }]);
    await page.getByLabel(`Redrive ${id(2)}`).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Redrive', exact: true }).click();
    await page.waitForFunction(() => !document.querySelector('button[disabled]'));
    await g.asked();
    assert.deepEqual(await g.said(), [{ type: 'alert-error', payload: ['Redriving failed', 'this takes the role Editor or Admin'] }]);
    // All of them, in two parts.
    await page.getByRole('button', { name: 'Redrive all' }).click();
    await page.getByText('Every dead letter of checkout-0 runs again').waitFor();
    await picture(page, 'panel-redrive-all');
    await g.answer([{ url: 'dead-letters/redrive$', data: { redriven: 2 } }]);
    await page.getByRole('dialog').getByRole('button', { name: 'Redrive all' }).click();
    await page.waitForFunction(() => document.querySelectorAll('tr').length && [...document.querySelectorAll('td')].filter((e) => e.textContent === 'done').length === 3);
    assert.deepEqual(await g.asked(), [{ method: 'POST', url: `${resource}sidecars/checkout-0/dead-letters/redrive`, data: {} }]);
  },
  async 'panel-viewer'(page, g) {
    await g.show('panel', { value: dead.frames, role: 'Viewer', width: 1240, height: 300, mode: 'light' });
    await page.getByText('the role Editor or Admin may redrive and cancel').waitFor();
    assert.equal(await page.getByRole('button', { name: /Redrive|Cancel/ }).count(), 0);
  },
  async 'panel-cancel'(page, g) {
    const waits = structuredClone(dead.frames);
    waits[0].data.values[column(waits[0], 'state')] = ['enqueued', 'succeeded', 'running'];
    await g.show('panel', { value: waits, role: 'Admin', width: 1240, height: 300 });
    await g.answer([{ url: 'cancel$', data: { state: 'cancelled' } }]);
    assert.equal(await page.getByRole('button', { name: 'Redrive all' }).count(), 0);
    assert.equal(await page.getByLabel(`Cancel ${id(1)}`).count(), 0);
    await page.getByLabel(`Cancel ${id(0)}`).click();
    await picture(page, 'panel-cancel-asks');
    await page.getByRole('button', { name: 'Keep it' }).click();
    assert.deepEqual(await g.asked(), []);
    await page.getByLabel(`Cancel ${id(0)}`).click();
    await page.getByRole('button', { name: 'Cancel the call' }).click();
    await page.getByText('done').waitFor();
    assert.deepEqual((await g.asked()).map((a) => a.url), [`${resource}sidecars/checkout-0/calls/${id(0)}/cancel`]);
  },
  async 'panel-empty'(page, g) {
    await g.show('panel', { value: [], type: 'prometheus', width: 1240, height: 200 });
    await page.getByText('Choose the weir data source').waitFor();
  },
  async 'state-graph'(page, g) {
    await g.show('graph', { value: state.frames, width: 1240, height: 360 });
    for (const name of ['limit', 'running', 'concurrency', 'waiting', 'throttled: max_inflight', 'p95']) {
      await page.getByText(name, { exact: true }).waitFor();
    }
  },
  async 'callers-table'(page, g) {
    const board = JSON.parse(await readFile('../../live/weir-live.json', 'utf8'));
    const panel = board.panels.find((p) => p.targets[0].queryType === 'callers');
    const frame = structuredClone(callers.frames[0]);
    frame.data.values.forEach((list) => list.reverse()); // the panel puts those first that use most
    await g.show('table', { value: [frame], sortBy: panel.options.sortBy, width: 1240, height: 200 });
    await page.getByText('without a caller').waitFor();
    const rows = (await page.getByRole('row').allInnerTexts()).map((text) => text.split(/\s*\n\s*/));
    assert.deepEqual(rows.map((r) => r[1]), ['caller', 'alice', 'bob', 'without a caller']);
  },
  // The data source's class, over Grafana's own base class.
  async ''(page, g) {
    await g.answer([{ url: '^/api/ds/query', data: { results: { A: inflight } } }, names]);
    const table = await g.query({ targets: [{ refId: 'A', queryType: 'inflight', sidecars: '$sidecar', limit: 7 }] });
    assert.deepEqual([table.errors, table.frames[0].length, table.frames[0].fields.slice(0, 4)], [[], 2, ['sidecar', 'id', 'method', 'path']]);
    assert.deepEqual(table.variables, ['checkout-0', 'checkout-1'].map((name) => ({ text: name, value: name })));
    const [sent] = (await g.asked()).filter((a) => a.url.startsWith('/api/ds/query'));
    const { queryType, sidecars, limit } = sent.data.queries[0];
    assert.deepEqual([sent.data.from, sent.data.to, queryType, sidecars, limit], ['0', '600000', 'inflight', 'checkout-0,checkout-1', 7]);
    // A frame with a channel goes on by Grafana Live.
    const channel = 'ds/weir/state/checkout-0/concurrency';
    const live = structuredClone(state);
    live.frames[0].schema.meta.channel = channel;
    await g.answer([{ url: '^/api/ds/query', data: { results: { A: live } } }, names]);
    const streamed = await g.query({ targets: [{ refId: 'A', queryType: 'state', live: true }] });
    assert.equal(streamed.frames[0].channel, channel);
    const [stream] = await g.live();
    assert.deepEqual([stream.addr, stream.buffer], [
      { scope: 'ds', stream: 'weir', path: 'state/checkout-0/concurrency' },
      { maxLength: 1200, maxDelta: 600000, action: 'append' },
    ]);
    await g.answer([{ url: '^/api/ds/query', status: 400, data: { results: { A: { error: 'no sidecar answers', status: 502 } } } }, names]);
    assert.deepEqual((await g.query({ targets: [{ refId: 'A' }] })).errors, ['no sidecar answers']);
  },
};

async function main() {
  const directory = await mkdtemp(path.join(tmpdir(), 'weir-plugin-page-'));
  await mkdir(out, { recursive: true });
  await build({
    entryPoints: ['test/page.tsx'], outfile: path.join(directory, 'page.js'), bundle: true, jsx: 'automatic', logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.svg': 'text', '.png': 'dataurl', '.woff2': 'dataurl', '.woff': 'dataurl', '.ttf': 'dataurl' },
  });
  const imports = Object.fromEntries(['@grafana/data', '@grafana/runtime', '@grafana/ui', 'react', 'react/jsx-runtime'].map((n) => [n, `app:${n}`]));
  // The AMD extra last: libraries in the page take a define for their own.
  await writeFile(
    path.join(directory, 'index.html'),
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>weir</title><link rel="stylesheet" href="page.css"><body style="margin: 0"><div id="root"></div>
<script type="systemjs-importmap">${JSON.stringify({ imports })}</script><script src="system.js"></script>
<script>window.grafanaBootData = { user: { orgRole: 'Editor' }, settings: {}, navTree: [] };</script><script src="page.js"></script><script src="amd.js"></script>\n`
  );
  const server = await serve(directory);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    env: { ...process.env, LANG: 'en_US.UTF-8' },
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--lang=en-US'],
  });
  const faults = [];
  try {
    const page = await browser.newPage({ viewport: { width: 1300, height: 700 }, locale: 'en-US', timezoneId: 'UTC' });
    page.setDefaultTimeout(20_000);
    page.setDefaultNavigationTimeout(120_000); // the page is large, and the machine may be busy
    let scene = '';
    page.on('pageerror', (e) => faults.push(`${scene}: the page failed: ${e.stack}`));
    page.on('console', (m) => m.type() === 'error' && faults.push(`${scene}: the page says: ${m.text()} (${m.location().url})`));
    await page.goto(`http://127.0.0.1:${server.address().port}/index.html`);
    await page.evaluate(() => Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`))));
    const g = Object.fromEntries(
      ['show', 'query', 'answer', 'asked', 'said', 'live', 'value'].map((name) => [name, (...args) => page.evaluate(([name, args]) => window.grafana[name](...args), [name, args])])
    );
    for (const [name, run] of Object.entries(scenes)) {
      scene = name || 'the data source';
      await g.answer([names]);
      await Promise.all([g.asked(), g.said(), g.live()]);
      try {
        await run(page, g);
      } catch (e) {
        faults.push(`${scene}: ${e.stack}`);
      }
      if (name) {
        await picture(page, name);
      }
    }
  } catch (e) {
    faults.push(e.stack);
  } finally {
    await browser.close();
    server.close();
    await rm(directory, { recursive: true });
  }
  faults.forEach((f) => console.error(f));
  console.log(`${Object.keys(scenes).length} scenes were played, ${faults.length} faults`);
  return faults.length > 0 ? 1 : 0;
}

// picture is as high as what is shown, and what floats above it.
async function picture(page, name) {
  const height = await page.evaluate(() => Math.max(...[...document.querySelectorAll('#shown, [role=dialog]')].map((e) => e.getBoundingClientRect().bottom)));
  await page.screenshot({ path: path.join(out, `${name}.png`), fullPage: true, clip: { x: 0, y: 0, width: 1300, height: height + 24 } });
}

// serve gives the page, the plugin, and what Grafana's components look for.
async function serve(directory) {
  const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };
  const places = [
    [/^\/public\/build\/img\/icons\/([\w-]+\/[\w-]+\.svg)$/, 'node_modules/@grafana/ui/dist/public/img/icons'],
    [/^\/plugin\/((?:weir-calls-panel\/)?module\.js)$/, plugin],
    [/^\/(system\.js)$/, 'node_modules/systemjs/dist'],
    [/^\/(amd\.js)$/, 'node_modules/systemjs/dist/extras'],
    [/^\/([\w.]+)$/, directory],
  ];
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://x').pathname;
    try {
      let file = 'node_modules/@fontsource/inter/files/inter-latin-400-normal.woff2';
      if (!name.startsWith('/public/fonts/')) {
        const [pattern, place] = places.find(([p]) => p.test(name)) ?? [];
        file = path.join(place, pattern.exec(name)[1]);
      }
      const body = await readFile(file);
      response.writeHead(200, { 'Content-Type': types[path.extname(file)] ?? 'application/octet-stream' }).end(body);
    } catch {
      response.writeHead(name === '/favicon.ico' ? 204 : 404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

process.exit(await main());
