import type { DataQuery } from '@grafana/schema';
import type { DataSourceJsonData } from '@grafana/data';

export const pluginId = 'weir-weir-datasource';

// QueryType says what is asked for; the backend knows the same ones.
export type QueryType = 'state' | 'inflight' | 'callers' | 'calls' | 'dead_letters';

// Group is a group of series of the state.
export type Group = 'concurrency' | 'requests' | 'throttles' | 'latency';

export interface WeirQuery extends DataQuery {
  queryType?: QueryType;
  sidecars?: string; // names with commas in between, empty for all
  groups?: Group[];
  live?: boolean; // go on once a second
  state?: string; // of calls, empty for all
  limit?: number; // rows of a table, for each sidecar
}

export interface Sidecar {
  name: string;
  url: string;
}

export interface WeirOptions extends DataSourceJsonData {
  sidecars?: Sidecar[];
  timeoutSeconds?: number;
}

// Secrets are kept encrypted by Grafana, and never come back to the browser.
export interface WeirSecrets {
  token?: string;
  tlsCACert?: string;
  tlsClientCert?: string;
  tlsClientKey?: string;
}
