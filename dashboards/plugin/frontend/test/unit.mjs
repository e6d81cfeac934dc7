// Bundles the unit tests and has Node's test runner run them.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const directory = mkdtempSync(path.join(tmpdir(), 'weir-plugin-'));
try {
  const outfile = path.join(directory, 'unit.test.mjs');
  await build({ entryPoints: ['test/unit.test.ts'], outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' });
  process.exitCode = spawnSync(process.execPath, ['--test', outfile], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(directory, { recursive: true });
}
