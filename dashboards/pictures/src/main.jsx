// A whole dashboard, laid out as Grafana does: 24 columns, rows of 30 pixels with 8
// between them. window.show(input) draws one; nothing of Grafana itself runs here.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { createTheme } from '@grafana/data';
import { GlobalStyles, PanelChrome, PortalContainer, ThemeContext } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { flushSync } from 'react-dom';
import { Panel } from './panel.jsx';

const cell = 38, gap = 8, margin = 16, head = 64;

function Dashboard({ title, subtitle, panels, recorded, width, theme }) {
  const column = (width - 2 * margin + gap) / 24;
  const bottom = Math.max(...panels.map((p) => p.gridPos.y + p.gridPos.h));
  return (
    <div style={{ position: 'relative', width, height: head + bottom * cell + margin, background: theme.colors.background.canvas }}>
      <div style={{ position: 'absolute', left: margin, top: 12, color: theme.colors.text.primary }}>
        <div style={{ fontSize: 18, fontWeight: 500 }}>{title}</div>
        <div style={{ fontSize: 12, color: theme.colors.text.secondary }}>{subtitle}</div>
      </div>
      {panels.map((p) => {
        const box = {
          position: 'absolute', left: margin + p.gridPos.x * column, top: head + p.gridPos.y * cell,
          width: p.gridPos.w * column - gap, height: p.gridPos.h * cell - gap,
        };
        if (p.type === 'row') {
          return <div key={p.id} style={{ ...box, color: theme.colors.text.primary, fontWeight: 500, paddingTop: 6 }}>{p.title}</div>;
        }
        return (
          <div key={p.id} style={box} data-panel={p.id}>
            <PanelChrome title={p.title} description={p.description} width={box.width} height={box.height}>
              {(width, height) => <Panel panel={p} recorded={recorded[p.id]} width={width} height={height} />}
            </PanelChrome>
          </div>
        );
      })}
    </div>
  );
}

let root;

window.show = (input) => {
  const theme = createTheme({ colors: { mode: input.mode } });
  root?.unmount();
  root = createRoot(document.getElementById('root'));
  flushSync(() =>
    root.render(
      <MemoryRouter>
        <ThemeContext.Provider value={theme}>
          <GlobalStyles />
          <Dashboard {...input} theme={theme} />
          <PortalContainer />
        </ThemeContext.Provider>
      </MemoryRouter>
    )
  );
};
