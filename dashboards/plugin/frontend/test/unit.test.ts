import type { DataFrame } from '@grafana/data';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { actionFor, isCalls, mayChange, rowsOf } from '../src/calls-panel/rows';
import { chosen, defaultQuery, groups, hasRows, interpolate, queryTypes, states, rowsOf as numberOfRows } from '../src/query';
import { faultOf, inClear } from '../src/sidecars';
import type { WeirQuery } from '../src/types';

test('a sidecar is checked as the backend does', () => {
  for (const [name, url, fault] of [
    ['checkout-0', 'https://10.0.0.1:9465', ''],
    ['checkout-0', 'localhost:9465', ''],
    ['', '', ''], // a line that nobody has filled in yet
    ['', 'http://x', 'A name has'],
    ['a b', 'http://x', 'A name has'],
    ['a/b', 'http://x', 'A name has'],
    ['-a', 'http://x', 'A name has'],
    ['a'.repeat(64), 'http://x', 'A name has'],
    ['a', '', 'Write http://host:port'],
    ['a', 'ftp://x', 'Write http://host:port'],
    ['a', 'http://', 'Write http://host:port'],
    ['a', 'http://user:password@x', 'Leave user'],
    ['a', 'http://x?token=1', 'Leave user'],
  ] as const) {
    const said = faultOf([{ name, url }], 0);
    assert.ok(fault ? said.startsWith(fault) : said === '', `${name} ${url}: ${said}`);
  }
  const twice = [{ name: 'a', url: 'x:1' }, { name: 'a', url: 'x:2' }];
  assert.deepEqual([faultOf(twice, 0), faultOf(twice, 1)], ['', 'Another one is named a']);
});

test('a token in clear text is told of', () => {
  const at = (url: string) => inClear([{ name: 'a', url }]).length;
  assert.deepEqual(
    ['http://10.0.0.1:1', 'weir:9465', 'https://10.0.0.1', 'http://127.0.0.1:1', 'http://127.8.0.1', 'localhost:1', 'http://[::1]:1', 'http://localhost.example.com', ''].map(at),
    [1, 1, 0, 0, 0, 0, 0, 1, 0]
  );
});

test('variables are put into a query', () => {
  const values: Record<string, string> = { $sidecar: 'b,c', $all: '$__all', $none: '', $state: 'failed' };
  const replace = (text: string, format?: string) => (assert.equal(format, text === '$state' ? undefined : 'csv'), values[text] ?? text);
  const of = (sidecars?: string) => interpolate({ refId: 'A', sidecars } as WeirQuery, replace).sidecars;
  assert.deepEqual([undefined, '', 'a', 'a, $sidecar', '$all', 'a,$all', '$none'].map(of), ['', '', 'a', 'a,b,c', '', '', '']);
  assert.equal(interpolate({ refId: 'A', state: '$state' } as WeirQuery, replace).state, 'failed');
  assert.deepEqual(chosen(' a,, b '), ['a', 'b']);
  assert.deepEqual([...queryTypes.map((t) => t.value), undefined].filter(hasRows), ['inflight', 'calls', 'dead_letters']);
  assert.deepEqual(['1', '1000', '0', '1001', '1.5', 'x', ''].map(numberOfRows), [1, 1000, undefined, undefined, undefined, undefined, undefined]);
});

test('the backend knows what can be asked for', () => {
  const source = readFileSync('../datasource/query.go', 'utf8') + readFileSync('../datasource/frames.go', 'utf8');
  for (const { value } of [...queryTypes, ...groups]) {
    assert.ok(source.includes(`"${value}"`), value);
  }
  const named = /func States\(\)[^{]*{\s*return \[\]string{([^}]*)}/.exec(readFileSync('../../../admin/api/call.go', 'utf8'))![1]!;
  assert.deepEqual(states, JSON.parse(`[${named}]`));
  assert.ok(queryTypes.some((t) => t.value === defaultQuery.queryType));
});

test('rows of the panel', () => {
  const column = (name: string, type: string, values: unknown[]) => ({ name, type, config: {}, values });
  const frame = {
    length: 2,
    fields: [
      column('sidecar', 'string', ['a', 'b']),
      column('id', 'string', ['1', '2']),
      column('state', 'string', ['failed', 'scheduled']),
      column('method', 'string', ['GET', '']),
      column('path', 'string', ['/x', '']),
      column('attempts', 'number', [3, 0]),
      column('status', 'number', [500, null]),
      column('error', 'string', ['500 Internal Server Error', '']),
      column('enqueued', 'time', [1, 2]),
    ],
  } as unknown as DataFrame;
  const other = { length: 1, fields: [column('time', 'time', [1])] } as unknown as DataFrame;
  assert.ok(isCalls(frame as never) && !isCalls(other as never));
  assert.deepEqual(rowsOf([other, frame] as never), [
    { sidecar: 'a', id: '1', state: 'failed', request: 'GET /x', attempts: 3, status: 500, error: '500 Internal Server Error', enqueued: 1, action: 'redrive' },
    { sidecar: 'b', id: '2', state: 'scheduled', request: '', attempts: 0, status: undefined, error: '', enqueued: 2, action: 'cancel' },
  ]);
  assert.deepEqual(
    ['enqueued', 'scheduled', 'running', 'retrying', 'succeeded', 'failed', 'expired', 'cancelled'].map(actionFor),
    ['cancel', 'cancel', 'cancel', 'cancel', undefined, 'redrive', 'redrive', undefined]
  );
  assert.deepEqual(['Admin', 'Editor', 'Viewer', 'None', '', undefined].map(mayChange), [true, true, false, false, false, false]);
});

test('the dashboard asks what the data source knows', () => {
  const board = JSON.parse(readFileSync('../../live/weir-live.json', 'utf8'));
  const ids = board.panels.map((p: { id: number }) => p.id);
  assert.equal(new Set(ids).size, ids.length);
  for (const p of board.panels) {
    assert.ok(p.description && p.title && p.targets.length > 0, p.title);
    for (const t of [p, ...p.targets, board.templating.list[1]]) {
      assert.deepEqual(t.datasource, { type: 'weir-weir-datasource', uid: '${datasource}' });
    }
    for (const t of p.targets) {
      assert.ok(queryTypes.some((k) => k.value === t.queryType), t.queryType);
      assert.ok((t.groups ?? []).every((g: string) => groups.some((k) => k.value === g)), t.groups);
      assert.equal(t.sidecars, '$sidecar');
    }
  }
  // Each thing that can be asked for is on it, but for calls, of which there are too many.
  const asked = board.panels.flatMap((p: any) => p.targets.map((t: any) => t.queryType));
  assert.deepEqual(queryTypes.map((t) => t.value).filter((v) => !asked.includes(v)), ['calls']);
});

// As Grafana's reference of plugin.json has it.
test('plugin.json is what Grafana expects', () => {
  const known = [
    '$schema', 'type', 'name', 'id', 'category', 'metrics', 'backend', 'executable', 'alerting', 'annotations', 'streaming', 'info', 'includes', 'dependencies',
  ];
  const texts = ['src/plugin.json', 'src/calls-panel/plugin.json'].map((f) => JSON.parse(readFileSync(f, 'utf8')));
  for (const p of texts) {
    assert.deepEqual(Object.keys(p).filter((k) => !known.includes(k)), []);
    assert.match(p.id, /^[0-9a-z]+-([0-9a-z]+-)?(app|panel|datasource)$/);
    assert.ok(p.id.endsWith(`-${p.type}`) && ['datasource', 'panel'].includes(p.type));
    assert.ok(p.name && p.info.description && p.info.keywords.length > 0 && Array.isArray(p.info.links));
    for (const logo of [p.info.logos.small, p.info.logos.large]) {
      assert.match(readFileSync(`src/${logo}`, 'utf8'), /^<svg/);
    }
    assert.deepEqual([p.info.version, p.info.updated], ['%VERSION%', '%TODAY%']);
    for (const { path } of p.includes ?? []) {
      readFileSync(`src/${path.replace('weir-calls-panel', 'calls-panel').replace('dashboards/', '../../../live/')}`);
    }
    assert.match(p.dependencies.grafanaDependency, /^(<=|>=|<|>|=|~|\^)?([0-9]+)(\.[0-9x*]+)(\.[0-9x*]+)?$/);
  }
  assert.deepEqual(texts.map((p) => p.id), ['weir-weir-datasource', 'weir-calls-panel']);
});
