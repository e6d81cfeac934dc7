// One panel of a dashboard, drawn by Grafana's components.
import { FieldType, dateTime, reduceField, renderMarkdown, standardTransformers, standardTransformersRegistry, transformDataFrame } from '@grafana/data';
import { BigValue, TimeSeries, useTheme2 } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { useEffect, useState } from 'react';
import { configure } from './field.js';
import { series, table } from './frames.js';

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((t) => ({ ...t, transformation: () => Promise.resolve(t) }))
);

export function Panel({ panel, recorded, width, height }) {
  const theme = useTheme2();
  if (panel.type === 'text') {
    return <div className="markdown-html" style={{ overflow: 'hidden', height }} dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />;
  }
  if (panel.type === 'table') {
    return <Table {...{ panel, recorded, width, height, theme }} />;
  }
  const frames = configure(
    panel.targets.flatMap((t) => series(t, resultOf(recorded, t), recorded.from, recorded.to)),
    panel.fieldConfig,
    theme
  );
  if (frames.length === 0) {
    return <NoData {...{ height, theme }} />;
  }
  switch (panel.type) {
    case 'timeseries':
      return (
        <TimeSeries frames={frames} structureRev={1} width={width} height={height} timeZone="utc" options={panel.options} legend={panel.options.legend}
          timeRange={{ from: dateTime(recorded.from), to: dateTime(recorded.to), raw: { from: dateTime(recorded.from), to: dateTime(recorded.to) } }} />
      );
    case 'stat':
      return <Stat {...{ panel, frames, width, height, theme }} />;
  }
  throw new Error(`${panel.title}: no component is known here for a panel of the type ${panel.type}`);
}

function NoData({ height, theme }) {
  return <div style={{ display: 'flex', alignItems: 'center', justifyContent: 'center', height, color: theme.colors.text.secondary }}>No data</div>;
}

function resultOf(recorded, target) {
  return recorded.results.find((r) => r.refId === target.refId)?.series ?? [];
}

function last(field) {
  const calculation = 'lastNotNull';
  return reduceField({ field, reducers: [calculation] })[calculation];
}

function Stat({ panel, frames, width, height, theme }) {
  const [time, field] = frames[0].fields;
  const { colorMode, graphMode, textMode } = panel.options;
  return (
    <BigValue width={width} height={height} theme={theme} colorMode={colorMode} graphMode={graphMode} textMode={textMode} justifyMode="auto"
      value={field.display(last(field))} sparkline={{ x: time, y: field }} />
  );
}

function Table({ panel, recorded, width, height, theme }) {
  const [frame, setFrame] = useState();
  const frames = panel.targets.map((t) => table(t, resultOf(recorded, t), panel.targets.length)).filter((f) => f.length > 0);
  useEffect(() => {
    if (frames.length === 0) {
      return;
    }
    const subscription = transformDataFrame(panel.transformations, frames, { interpolate: (v) => v }).subscribe(([merged]) => setFrame(configure([merged], panel.fieldConfig, theme)[0]));
    return () => subscription.unsubscribe();
  }, []);
  if (frames.length === 0) {
    return <NoData {...{ height, theme }} />;
  }
  if (!frame) {
    return null;
  }
  for (const f of frame.fields) {
    f.type = typeof f.values[0] === 'string' ? FieldType.string : f.type;
  }
  return <TableNG data={frame} width={width} height={height} structureRev={1} sortBy={panel.options.sortBy} noValue={panel.fieldConfig.defaults.noValue} />;
}
