// What a panel's field configuration says of a field: the defaults, and over them the
// overrides that match its name.
import { getDisplayProcessor, getFieldDisplayName } from '@grafana/data';

const custom = {
  drawStyle: 'line', lineInterpolation: 'linear', barAlignment: 0, barWidthFactor: 0.6, lineWidth: 1, fillOpacity: 0, gradientMode: 'none',
  spanNulls: false, insertNulls: false, showPoints: 'auto', pointSize: 5, stacking: { mode: 'none', group: 'A' }, axisPlacement: 'auto', axisLabel: '',
  axisColorMode: 'text', axisBorderShow: false, scaleDistribution: { type: 'linear' }, axisCenteredZero: false,
  hideFrom: { tooltip: false, viz: false, legend: false }, thresholdsStyle: { mode: 'off' },
};

export function configure(frames, fieldConfig, theme) {
  let seriesIndex = 0;
  for (const frame of frames) {
    for (const field of frame.fields) {
      const name = getFieldDisplayName(field, frame, frames);
      const config = { ...structuredClone(fieldConfig.defaults), ...field.config };
      config.custom = { ...custom, ...fieldConfig.defaults.custom };
      config.color ??= { mode: 'palette-classic' };
      config.thresholds = thresholds(config.thresholds);
      for (const { matcher, properties } of fieldConfig.overrides ?? []) {
        if (matcher.id !== 'byName' || matcher.options !== name) {
          continue;
        }
        for (const { id, value } of properties) {
          if (id.startsWith('custom.')) {
            config.custom[id.slice('custom.'.length)] = value;
          } else {
            config[id] = id === 'thresholds' ? thresholds(value) : value;
            if (id === 'thresholds') {
              config.color = { mode: 'thresholds' };
            }
          }
        }
      }
      field.config = config;
      field.state = { ...field.state, displayName: name };
      if (field.type === 'number') {
        const numbers = field.values.filter(Number.isFinite);
        const min = Math.min(...numbers), max = Math.max(...numbers);
        Object.assign(field.state, { seriesIndex: seriesIndex++, range: { min, max, delta: max - min } });
      }
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
      field.getLinks = () => [];
    }
  }
  return frames;
}

// thresholds begin at minus infinity, which JSON cannot say.
function thresholds(t) {
  const steps = t?.steps ?? [{ value: null, color: 'green' }];
  return { mode: 'absolute', ...t, steps: steps.map((s, i) => ({ ...s, value: i === 0 ? -Infinity : s.value })) };
}
