import type { Group, QueryType, WeirQuery } from './types';

export const defaultQuery: Partial<WeirQuery> = { queryType: 'state', groups: ['concurrency'], live: true };

export const defaultRows = 100;
export const maxRows = 1000;

export const queryTypes: Array<{ value: QueryType; label: string; description: string }> = [
  { value: 'state', label: 'State', description: 'The last ten minutes, second by second, and live' },
  { value: 'inflight', label: 'Running requests', description: 'The oldest first' },
  { value: 'callers', label: 'Top callers', description: 'Who uses most slot-seconds: as many as weir names' },
  { value: 'calls', label: 'Calls', description: 'Asynchronous calls, all or those of one state' },
  { value: 'dead_letters', label: 'Dead letters', description: 'Asynchronous calls that failed or expired' },
];

export const groups: Array<{ value: Group; label: string; description: string }> = [
  { value: 'concurrency', label: 'Concurrency', description: 'Limit, running, exact mean, waiting' },
  { value: 'requests', label: 'Requests', description: 'Ended and failed, per second' },
  { value: 'throttles', label: 'Throttles', description: 'Refused per second, by reason' },
  { value: 'latency', label: 'Latency', description: 'p50, p95, p99 in seconds' },
];

// states of a call, as the management API names them.
export const states = ['enqueued', 'scheduled', 'running', 'retrying', 'succeeded', 'failed', 'expired', 'cancelled'];

// chosen splits the sidecars of a query; none are all.
export function chosen(sidecars: string | undefined): string[] {
  return (sidecars ?? '')
    .split(',')
    .map((s) => s.trim())
    .filter((s) => s !== '');
}

// interpolate puts the values of variables in; a variable of which all are chosen asks
// for all.
export function interpolate(query: WeirQuery, replace: (text: string, format?: string) => string): WeirQuery {
  const parts = chosen(query.sidecars).map((s) => replace(s, 'csv'));
  const all = parts.some((p) => p === '$__all' || p === '*');
  return { ...query, sidecars: all ? '' : parts.join(','), ...(query.state && { state: replace(query.state) }) };
}

// hasRows says of which tables one may ask for more rows or fewer.
export function hasRows(type: QueryType | undefined): boolean {
  return type === 'inflight' || type === 'calls' || type === 'dead_letters';
}

// rowsOf reads what was typed as a number of rows; undefined where it is none.
export function rowsOf(text: string): number | undefined {
  const n = Number(text);
  return Number.isInteger(n) && n >= 1 && n <= maxRows ? n : undefined;
}
