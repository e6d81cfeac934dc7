// What must be seen on a panel, worked out from the query results alone.

// judge gives the faults of what the page shows.
export async function judge(page, panels, recorded) {
  const faults = [];
  for (const panel of panels) {
    if (panel.type === 'row' || panel.type === 'text') {
      continue;
    }
    const say = (text) => faults.push(`${panel.title}: ${text}`);
    const shown = await look(page, panel.id);
    if (!shown.text.includes(panel.title)) {
      say('its title is not shown');
    }
    shown.cut.forEach((text) => say(`"${text}" is cut off`));
    const lines = panel.targets.flatMap((t) => (recorded[panel.id].results.find((r) => r.refId === t.refId)?.series ?? []).map((s) => ({ ...s, name: name(t, s) })));
    if (lines.length === 0) {
      if (!shown.text.includes('No data')) {
        say('it has no data and does not say so');
      }
      continue;
    }
    switch (panel.type) {
      case 'timeseries': {
        // A line of one or two points is too short to be sure of.
        const longest = Math.max(...lines.map((l) => numbers(l).length));
        if (longest > 2 && shown.painted < 3 * longest) {
          say(`only ${shown.painted} coloured pixels are drawn for ${lines.length} lines`);
        }
        legend(lines, shown.rows, say);
        break;
      }
      case 'stat':
        near(shown.lines.filter((l) => l !== panel.title), last(lines[0]), say);
        break;
      case 'table':
        table(panel, recorded[panel.id].results, shown, say);
        break;
    }
  }
  return faults;
}

// name is what a line is called; spaces at the ends do not show.
function name(target, { metric }) {
  return (target.legendFormat ?? '').replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '').trim();
}

const numbers = ({ values }) => values.map(([, text]) => Number(text)).filter(Number.isFinite);
const last = (line) => numbers(line).at(-1);

// legend compares a row for each line: its name, and its mean, greatest and last value.
function legend(lines, rows, say) {
  if (rows.length !== lines.length) {
    say(`its legend has ${rows.length} rows for ${lines.length} lines`);
    return;
  }
  for (const line of lines) {
    const row = rows.find((r) => r[0] === line.name && [1, 2, 3].every((i) => r[i] !== undefined) && close(r[3], last(line)));
    if (!row) {
      say(`its legend has no row for "${line.name}" whose last value is ${last(line)}: ${JSON.stringify(rows)}`);
      continue;
    }
    const all = numbers(line);
    if (!close(row[2], Math.max(...all))) {
      say(`the greatest value of "${line.name}" is ${Math.max(...all)}, the legend says ${row[2]}`);
    }
    if (!close(row[1], all.reduce((a, b) => a + b, 0) / all.length)) {
      say(`the mean of "${line.name}" is ${all.reduce((a, b) => a + b, 0) / all.length}, the legend says ${row[1]}`);
    }
  }
}

function near(texts, value, say) {
  if (!texts.some((t) => close(t, value))) {
    say(`no text says ${value}: ${JSON.stringify(texts)}`);
  }
}

// table looks for a row for each combination of labels, and for each value in it.
function table(panel, results, shown, say) {
  const columns = panel.transformations.find((t) => t.id === 'organize').options.renameByName;
  for (const column of Object.values(columns)) {
    if (!shown.lines.includes(column)) {
      say(`it has no column "${column}"`);
    }
  }
  for (const { refId, series } of results) {
    const column = columns[`Value #${refId}`] ?? columns.Value;
    for (const { metric, value } of series) {
      const wanted = Object.values(metric);
      const row = shown.rows.find((r) => wanted.every((label) => r.includes(label)));
      if (!row) {
        say(`it has no row for ${JSON.stringify(metric)}: ${JSON.stringify(shown.rows)}`);
      } else if (!row.some((text) => close(text, Number(value[1])))) {
        say(`the row of ${JSON.stringify(metric)} does not say ${value[1]} for "${column}": ${JSON.stringify(row)}`);
      }
    }
  }
}

// Units, and what one of each is.
const units = {
  '': 1, '%': 0.01, 'req/s': 1, 'K req/s': 1e3, s: 1, ms: 1e-3, 'µs': 1e-6, ns: 1e-9, min: 60, mins: 60, hour: 3600, hours: 3600,
  'c/s': 1, 'K c/s': 1e3, K: 1e3, Mil: 1e6, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3,
};

// close reports whether a text says a number, as exactly as its digits do.
export function close(text, value) {
  const match = /^(-?[\d.]+)\s*(\D*)$/.exec(text.trim());
  const unit = match && units[match[2].trim()];
  if (!unit) {
    return false;
  }
  const digits = match[1].split('.')[1]?.length ?? 0;
  return Math.abs(Number(match[1]) * unit - value) <= 0.5001 * 10 ** -digits * unit + 1e-9 * Math.abs(value);
}

// look reads what is on a panel: its text, rows of its table or legend, the coloured
// pixels of its canvases, and texts that do not fit their place.
function look(page, id) {
  return page.evaluate((id) => {
    const panel = document.querySelector(`[data-panel="${id}"]`);
    let painted = 0;
    for (const canvas of panel.querySelectorAll('canvas')) {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      for (let i = 0; i < data.length; i += 4) {
        // Axes and their texts are grey.
        if (data[i + 3] > 64 && Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 40) {
          painted++;
        }
      }
    }
    const rows = [...panel.querySelectorAll('tbody tr, [role="row"]:has([role="gridcell"])')].map((r) =>
      [...r.querySelectorAll('td, [role="gridcell"]')].map((c) => c.innerText.trim()).filter(Boolean)
    );
    const cut = [...panel.querySelectorAll('h2, h6, [role="columnheader"], th, td, [role="gridcell"]')]
      .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
      .map((e) => e.innerText.trim());
    const text = panel.innerText;
    return { text, lines: text.split('\n').map((l) => l.trim()).filter(Boolean), rows, painted, cut };
  }, id);
}
