// Bundles the page into out/page.
import { build } from 'esbuild';
import { mkdir, writeFile } from 'node:fs/promises';

export async function bundle(directory) {
  await mkdir(directory, { recursive: true });
  await build({
    entryPoints: ['src/main.jsx'],
    outfile: `${directory}/main.js`,
    bundle: true,
    minify: true,
    jsx: 'automatic',
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.svg': 'text', '.png': 'dataurl', '.woff2': 'dataurl', '.woff': 'dataurl', '.ttf': 'dataurl' },
  });
  await writeFile(`${directory}/index.html`, '<!doctype html><meta charset="utf-8"><title>weir</title><link rel="stylesheet" href="main.css"><body style="margin: 0"><div id="root"></div><script src="main.js"></script>\n');
}
