// Bundles what runs in the browser: module.js of the data source and of the panel of
// calls, as AMD modules, which is what Grafana loads. What Grafana itself has is not
// bundled but asked for by name.
//
//   node build.mjs OUT [VERSION [DATE]]
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// Grafana's own list; everything else would have to be in the bundle.
const given = [
  'react', 'react/jsx-runtime', 'react-dom', 'rxjs', 'lodash', 'moment', 'i18next', '@emotion/css', '@emotion/react',
  '@grafana/data', '@grafana/runtime', '@grafana/ui',
];

const here = path.dirname(fileURLToPath(import.meta.url));

export async function bundle(out, version = '0.0.0', date = new Date().toISOString().slice(0, 10)) {
  await rm(path.join(out, 'weir-calls-panel'), { recursive: true, force: true });
  await mkdir(path.join(out, 'dashboards'), { recursive: true });
  await copyFile(path.join(here, '../../live/weir-live.json'), path.join(out, 'dashboards/weir-live.json'));
  for (const [source, directory] of [['.', '.'], ['calls-panel', 'weir-calls-panel']]) {
    const from = path.join(here, 'src', source), to = path.join(out, directory);
    await mkdir(path.join(to, 'img'), { recursive: true });
    await amd(path.join(from, 'module.ts'), path.join(to, 'module.js'));
    const text = await readFile(path.join(from, 'plugin.json'), 'utf8');
    await writeFile(path.join(to, 'plugin.json'), text.replaceAll('%VERSION%', version).replaceAll('%TODAY%', date));
    await copyFile(path.join(here, 'src/img/logo.svg'), path.join(to, 'img/logo.svg'));
  }
}

async function amd(entry, outfile) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    format: 'cjs',
    target: 'es2022',
    jsx: 'automatic',
    legalComments: 'none',
    logLevel: 'error',
    external: given,
    define: { 'process.env.NODE_ENV': '"production"' },
  });
  const asked = new Set();
  for (const { imports } of Object.values(result.metafile.outputs)) {
    imports.filter((i) => i.external).forEach((i) => asked.add(i.path));
  }
  for (const { imports } of Object.values(result.metafile.inputs)) {
    // A package of Grafana's bundled by mistake would be a second copy of it.
    for (const i of imports) {
      if (!i.external && i.path.includes('node_modules')) {
        throw new Error(`${i.path} is bundled: Grafana has it, or it should not be needed`);
      }
    }
  }
  const names = [...asked].sort();
  const code = result.outputFiles[0].text;
  await writeFile(
    outfile,
    `define(${JSON.stringify(names)},function(...given){const names=${JSON.stringify(names)},module={exports:{}},exports=module.exports,` +
      `require=(name)=>given[names.indexOf(name)];\n${code}return module.exports;});\n`
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [out, version, date] = process.argv.slice(2);
  if (!out) {
    console.error('usage: node build.mjs OUT [VERSION [DATE]]');
    process.exit(2);
  }
  await bundle(out, version, date);
}
