// Draws the dashboards from what their queries gave, and checks what was drawn.
//
//   node draw.mjs RESULTS OUT     RESULTS is written by make test-dashboards
//
// With DOCS=../../docs/pictures the parts that the documentation shows are written there.
//
// Grafana's own panel components (@grafana/ui) in headless Chromium; not the Grafana
// application, which is not needed here. Exits with 1 and a line for each fault.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { bundle } from './build.mjs';
import { judge } from './judge.mjs';

const dashboards = '../files/grafana/dashboards';
const width = 1600;

// pictures are what is drawn: a dashboard, with a function chosen where it shows one;
// and the height of the part that the documentation shows.
const pictures = [
  { name: 'weir-fleet', function: '', docs: 976 },
  { name: 'weir-function', function: 'cart', docs: 1014 },
  ...['counted', 'report', 'flaky', 'down', 'leaving', 'restarted', 'shared'].map((f) => ({ name: 'weir-function', function: f })),
  { name: 'weir-async', function: 'mail' },
  { name: 'weir-fleet', function: '', mode: 'light' },
];

async function main([resultsFile, out]) {
  if (!out) {
    console.error('usage: node draw.mjs RESULTS OUT');
    return 2;
  }
  const results = JSON.parse(await readFile(resultsFile, 'utf8'));
  await mkdir(out, { recursive: true });
  await bundle(path.join(out, 'page'));
  const server = await serve(path.join(out, 'page'));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    env: { ...process.env, LANG: 'en_US.UTF-8' },
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--lang=en-US'],
  });
  const faults = [];
  let drawn = 0;
  try {
    const page = await browser.newPage({ viewport: { width, height: 1000 }, locale: 'en-US', timezoneId: 'UTC' });
    page.on('pageerror', (e) => faults.push(`the page failed: ${e.stack}`));
    page.on('console', (m) => m.type() === 'error' && faults.push(`the page says: ${m.text()} (${m.location().url})`));
    await page.goto(`http://127.0.0.1:${server.address().port}/index.html`);
    await page.evaluate(() => Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`))));
    for (const picture of pictures) {
      const dashboard = JSON.parse(await readFile(`${dashboards}/${picture.name}.json`, 'utf8'));
      const recorded = Object.fromEntries(
        results.filter((r) => r.board === dashboard.uid && r.function === picture.function).map((r) => [r.panel, r])
      );
      await page.setViewportSize({ width, height: 1000 });
      const title = dashboard.title + (picture.function && `: ${picture.function}`);
      const subtitle = "Drawn by Grafana's panel components (@grafana/ui) from a real Prometheus; not the Grafana application.";
      await page.evaluate((input) => window.show(input), { title, subtitle, panels: dashboard.panels, recorded, width, mode: picture.mode ?? 'dark' });
      const file = [picture.name, picture.function, picture.mode].filter(Boolean).join('-') + '.png';
      // As high as it is: what lies below the edge is drawn only in part.
      await page.setViewportSize({ width, height: await page.evaluate(() => document.documentElement.scrollHeight) });
      drawn += await settle(page, dashboard.panels);
      faults.push(...(await judge(page, dashboard.panels, recorded)).map((f) => `${file}: ${f}`));
      await page.screenshot({ path: path.join(out, file), fullPage: true });
      if (picture.docs && process.env.DOCS) {
        await page.screenshot({ path: path.join(process.env.DOCS, `${picture.name}.png`), clip: { x: 0, y: 0, width, height: picture.docs } });
      }
    }
  } finally {
    await browser.close();
    server.close();
  }
  faults.forEach((f) => console.error(f));
  console.log(`${drawn} panels were drawn on ${pictures.length} pictures, ${faults.length} faults`);
  return faults.length > 0 ? 1 : 0;
}

// settle waits until every panel has content and no canvas changes any more, and
// gives the number of panels.
async function settle(page, panels) {
  const ids = panels.filter((p) => p.type !== 'row').map((p) => p.id);
  await page.waitForFunction((ids) => ids.every((id) => document.querySelector(`[data-panel="${id}"] [class]`)), ids);
  let before = '';
  for (;;) {
    const now = await page.evaluate(
      () =>
        new Promise((resolve) =>
          requestAnimationFrame(() => requestAnimationFrame(() => resolve(document.body.innerText + [...document.querySelectorAll('canvas')].map((c) => c.toDataURL().length))))
        )
    );
    if (now === before) {
      return ids.length;
    }
    before = now;
  }
}

// serve gives the page over HTTP, and Grafana's icons and its typeface where its
// components look for them.
async function serve(directory) {
  const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2' };
  const places = [
    [/^\/public\/build\/img\/icons\/([\w-]+\/[\w-]+\.svg)$/, 'node_modules/@grafana/ui/dist/public/img/icons'],
    [/^\/([\w.]+)$/, directory],
  ];
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://x').pathname;
    try {
      let file = 'node_modules/@fontsource/inter/files/inter-latin-400-normal.woff2';
      if (!name.startsWith('/public/fonts/inter/')) {
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

process.exit(await main(process.argv.slice(2)));
