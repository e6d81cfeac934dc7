// A page that loads the plugin's built modules as Grafana does, by SystemJS with its
// AMD extra and the modules that Grafana gives, and shows its components. Nothing of
// the Grafana application runs here: what the components ask it for is answered by
// window.grafana.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import * as data from '@grafana/data';
import * as runtime from '@grafana/runtime';
// @ts-expect-error Grafana itself uses it at its start; it is not among the exported types.
import { initDataSourceInstanceSettings } from '../node_modules/@grafana/runtime/dist/esm/services/dataSource/settings.mjs';
import * as ui from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import * as react from 'react';
import * as jsx from 'react/jsx-runtime';
import { createRoot, type Root } from 'react-dom/client';
// @ts-expect-error It has no types.
import { MemoryRouter } from 'react-router-dom';
import { of, throwError } from 'rxjs';

declare const System: { set(url: string, module: object): void; import(url: string): Promise<any> };
declare const window: any;

const given: Record<string, object> = { '@grafana/data': data, '@grafana/runtime': runtime, '@grafana/ui': ui, react, 'react/jsx-runtime': jsx };
for (const [name, module] of Object.entries(given)) {
  System.set(`app:${name}`, { ...module, __useDefault: false });
}

// What was asked of Grafana, and what it answers.
const asked: any[] = [], said: any[] = [];
let answers: Array<{ url: RegExp; data?: any; status?: number }> = [];
let live: any[] = [];

runtime.setBackendSrv({
  fetch: (request: any) => {
    asked.push({ method: request.method, url: request.url, data: request.data });
    const answer = answers.find((a) => a.url.test(request.url));
    const status = answer ? (answer.status ?? 200) : 404;
    const response = { status, statusText: String(status), data: answer?.data ?? { message: `nothing answers ${request.url}` }, config: request };
    return status < 400 ? of(response) : throwError(() => response);
  },
} as any);
runtime.setTemplateSrv({
  getVariables: () => [{ name: 'sidecar' }],
  replace: (text: string) => (text === '$sidecar' ? 'checkout-0,checkout-1' : text),
} as any);
runtime.setGrafanaLiveSrv({
  getDataStream: (options: any) => {
    live.push(options);
    return of({ data: [data.toDataFrame(options.frame)], state: data.LoadingState.Streaming });
  },
} as any);
runtime.setAppEvents({ publish: (event: any) => said.push({ type: event.type, payload: event.payload }) } as any);

const settings: any = { id: 7, uid: 'weir', name: 'weir', type: 'weir-weir-datasource', jsonData: {}, meta: { id: 'weir-weir-datasource' }, access: 'proxy' };
initDataSourceInstanceSettings({ weir: settings }, 'weir');

let root: Root | undefined, shown: any;

async function show(kind: string, input: any) {
  const { plugin } = await System.import(kind === 'panel' ? '/plugin/weir-calls-panel/module.js' : '/plugin/module.js');
  const source = new (await System.import('/plugin/module.js')).plugin.DataSourceClass(settings);
  runtime.setDataSourceSrv({ get: async () => source } as any);
  runtime.config.bootData.user.orgRole = input.role ?? 'Editor';
  const theme = data.createTheme({ colors: { mode: input.mode ?? 'dark' } });
  root?.unmount();
  root = createRoot(document.getElementById('root')!);
  root.render(
    <MemoryRouter>
      <data.ThemeContext.Provider value={theme}>
        <ui.GlobalStyles />
        <div style={{ background: theme.colors.background.primary, color: theme.colors.text.primary, padding: 24, minHeight: 100 }}>
          <div id="shown">
            <Shown {...{ kind, plugin, source, input }} />
          </div>
        </div>
        <ui.PortalContainer />
      </data.ThemeContext.Provider>
    </MemoryRouter>
  );
}

function Shown({ kind, plugin, source, input }: any) {
  const [value, setValue] = react.useState(input.value);
  shown = value;
  switch (kind) {
    case 'config': {
      const Editor = plugin.components.ConfigEditor;
      return <Editor options={value} onOptionsChange={setValue} />;
    }
    case 'query': {
      const Editor = plugin.components.QueryEditor;
      return <Editor datasource={source} query={value} onChange={setValue} onRunQuery={() => asked.push('run')} />;
    }
    case 'panel': {
      const Panel = plugin.panel;
      const series = value.map((frame: any) => data.dataFrameFromJSON(frame));
      const request = { targets: [{ refId: 'A', datasource: { uid: 'weir', type: input.type ?? 'weir-weir-datasource' } }] };
      return (
        <ui.PanelChrome title="Dead letters" width={input.width} height={input.height}>
          {(width: number, height: number) => (
            <Panel {...{ width, height, timeZone: 'utc', data: { series, request, state: 'Done' }, eventBus: { publish: (e: any) => said.push({ type: e.type }) } }} />
          )}
        </ui.PanelChrome>
      );
    }
    case 'graph': {
      const frames = value.map((frame: any) => data.dataFrameFromJSON(frame));
      return <Graph frames={frames} width={input.width} height={input.height} />;
    }
    case 'table': {
      const frame = data.dataFrameFromJSON(value[0]);
      return <Table frame={frame} sortBy={input.sortBy} width={input.width} height={input.height} />;
    }
  }
  throw new Error(kind);
}

// What a query of a table looks like in Grafana's own table.
function Table({ frame, ...rest }: any) {
  const theme = ui.useTheme2();
  for (const field of frame.fields) {
    field.config.custom = { align: 'auto', cellOptions: { type: 'auto' } };
    field.state = { displayName: data.getFieldDisplayName(field, frame, [frame]) };
    field.display = data.getDisplayProcessor({ field, theme, timeZone: 'utc' });
  }
  return <TableNG data={frame} structureRev={1} {...rest} />;
}

// What the query of the state looks like in Grafana's own graph.
function Graph({ frames, width, height }: any) {
  const theme = ui.useTheme2();
  let seriesIndex = 0;
  for (const frame of frames) {
    for (const field of frame.fields) {
      field.config.custom = {
        drawStyle: 'line', lineWidth: 1, fillOpacity: 0, showPoints: 'always', pointSize: 5, axisPlacement: 'auto', scaleDistribution: { type: 'linear' },
        hideFrom: { tooltip: false, viz: false, legend: false }, stacking: { mode: 'none', group: 'A' }, thresholdsStyle: { mode: 'off' },
      };
      field.config.color = { mode: 'palette-classic' };
      field.state = { displayName: data.getFieldDisplayName(field, frame, frames), seriesIndex: field.type === 'number' ? seriesIndex++ : undefined };
      field.display = data.getDisplayProcessor({ field, theme, timeZone: 'utc' });
    }
  }
  const times = frames[0].fields[0].values;
  const range: any = { from: data.dateTime(times[0] - 1000), to: data.dateTime(times[times.length - 1] + 1000) };
  range.raw = range;
  return (
    <ui.TimeSeries frames={frames} structureRev={1} width={width} height={height} timeZone="utc" timeRange={range} options={{}}
      legend={{ displayMode: 'list' as any, placement: 'bottom', showLegend: true, calcs: [] }} />
  );
}

async function query(request: any) {
  const source = new (await System.import('/plugin/module.js')).plugin.DataSourceClass(settings);
  const range: any = { from: data.dateTime(0), to: data.dateTime(600_000) };
  range.raw = range;
  const response: any = await new Promise((resolve, reject) => source.query({ range, intervalMs: 1000, maxDataPoints: 100, scopedVars: {}, ...request }).subscribe({ next: resolve, error: reject }));
  return {
    frames: response.data.map((f: any) => ({ name: f.name, length: f.length, fields: f.fields.map((x: any) => x.name), channel: f.meta?.channel })),
    errors: (response.errors ?? (response.error ? [response.error] : [])).map((e: any) => e.message ?? e.data?.message),
    variables: await source.metricFindQuery(),
  };
}

window.grafana = {
  show, query,
  answer: (list: Array<{ url: string; data?: any; status?: number }>) => (answers = list.map((a) => ({ ...a, url: new RegExp(a.url) }))),
  asked: () => asked.splice(0), said: () => said.splice(0), live: () => live.splice(0),
  value: () => shown,
};
