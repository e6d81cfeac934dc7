// Query results become data frames, as Grafana's Prometheus data source makes them.
import { FieldType } from '@grafana/data';

// legend is what a series is called: the legend's format with the labels put in.
export function legend(format, metric) {
  if (!format) {
    return `{${Object.entries(metric).map(([k, v]) => `${k}="${v}"`).join(', ')}}`;
  }
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '');
}

// series makes a frame of each series of a query over time. A step without a value
// is null, so that a gap is drawn as one.
export function series(target, results, from, to) {
  const times = [];
  for (let t = from; t <= to; t += 1000) {
    times.push(t);
  }
  return results.map(({ metric, values }) => {
    const at = new Map(values.map(([seconds, text]) => [Math.round((seconds * 1000 - from) / 1000), Number(text)]));
    return {
      refId: target.refId,
      length: times.length,
      fields: [
        { name: 'Time', type: FieldType.time, config: {}, values: times },
        {
          name: 'Value',
          type: FieldType.number,
          labels: metric,
          config: { displayNameFromDS: legend(target.legendFormat, metric) },
          values: times.map((_, i) => (Number.isFinite(at.get(i)) ? at.get(i) : null)),
        },
      ],
    };
  });
}

// table makes one frame of a query at a moment: a row for each series.
export function table(target, results, targets) {
  const labels = [...new Set(results.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return {
    refId: target.refId,
    length: results.length,
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: results.map(({ value }) => value[0] * 1000) },
      ...labels.map((l) => ({ name: l, type: FieldType.string, config: {}, values: results.map(({ metric }) => metric[l] ?? '') })),
      {
        name: targets > 1 ? `Value #${target.refId}` : 'Value',
        type: FieldType.number,
        config: {},
        values: results.map(({ value }) => Number(value[1])),
      },
    ],
  };
}
