import {
  type CoreApp,
  type DataQueryRequest,
  type DataSourceInstanceSettings,
  type MetricFindValue,
  type ScopedVars,
  StreamingFrameAction,
} from '@grafana/data';
import { DataSourceWithBackend, getTemplateSrv } from '@grafana/runtime';
import { defaultQuery, interpolate } from './query';
import type { WeirOptions, WeirQuery } from './types';

// historySeconds is what a stream keeps in the browser: what weir keeps itself.
const historySeconds = 600;

export interface Redriven {
  redriven: number;
  failed?: Array<{ id: string; detail: string }>;
  next?: string;
}

export class WeirDataSource extends DataSourceWithBackend<WeirQuery, WeirOptions> {
  constructor(settings: DataSourceInstanceSettings<WeirOptions>) {
    super(settings);
    this.streamOptionsProvider = (request: DataQueryRequest<WeirQuery>) => ({
      maxLength: 2 * historySeconds,
      maxDelta: Math.max(request.range.to.valueOf() - request.range.from.valueOf(), 1000),
      action: StreamingFrameAction.Append,
    });
  }

  getDefaultQuery(_app: CoreApp): Partial<WeirQuery> {
    return defaultQuery;
  }

  applyTemplateVariables(query: WeirQuery, scopedVars: ScopedVars): WeirQuery {
    return interpolate(query, (text, format) => getTemplateSrv().replace(text, scopedVars, format));
  }

  filterQuery(query: WeirQuery): boolean {
    return !query.hide;
  }

  // metricFindQuery serves variables: the names of the sidecars.
  async metricFindQuery(): Promise<MetricFindValue[]> {
    return (await this.sidecars()).map((name) => ({ text: name, value: name }));
  }

  async sidecars(): Promise<string[]> {
    const { sidecars } = await this.getResource<{ sidecars: string[] }>('sidecars');
    return sidecars;
  }

  // What follows changes something; the backend lets editors and admins do it.

  async redrive(sidecar: string, id: string): Promise<Redriven> {
    return this.postResource(`sidecars/${encodeURIComponent(sidecar)}/dead-letters/${encodeURIComponent(id)}/redrive`, {});
  }

  // redriveAll goes on until all were looked at.
  async redriveAll(sidecar: string): Promise<Redriven> {
    const sum: Redriven = { redriven: 0, failed: [] };
    let cursor: string | undefined;
    do {
      const part: Redriven = await this.postResource(
        `sidecars/${encodeURIComponent(sidecar)}/dead-letters/redrive`,
        cursor ? { cursor } : {}
      );
      sum.redriven += part.redriven;
      sum.failed!.push(...(part.failed ?? []));
      cursor = part.next;
    } while (cursor);
    return sum;
  }

  async cancel(sidecar: string, id: string): Promise<unknown> {
    return this.postResource(`sidecars/${encodeURIComponent(sidecar)}/calls/${encodeURIComponent(id)}/cancel`, {});
  }
}
