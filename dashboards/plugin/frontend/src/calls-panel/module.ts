import { PanelPlugin } from '@grafana/data';
import { CallsPanel } from './CallsPanel';

export const plugin = new PanelPlugin(CallsPanel);
