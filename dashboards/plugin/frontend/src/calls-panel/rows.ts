import type { DataFrame } from '@grafana/data';

// Action is what can be done about a call.
export type Action = 'redrive' | 'cancel';

// Row is a call as the panel shows it.
export interface Row {
  sidecar: string;
  id: string;
  state: string;
  request: string; // its method and path
  attempts: number;
  status?: number;
  error: string;
  enqueued: number; // milliseconds
  action?: Action;
}

const required = ['sidecar', 'id', 'state'];

// isCalls says whether a frame is a table of calls of the weir data source.
export function isCalls(frame: DataFrame): boolean {
  return required.every((name) => frame.fields.some((f) => f.name === name));
}

// actionFor says what can be done about a call in some state.
export function actionFor(state: string): Action | undefined {
  switch (state) {
    case 'failed':
    case 'expired':
      return 'redrive';
    case 'enqueued':
    case 'scheduled':
    case 'running':
    case 'retrying':
      return 'cancel';
  }
  return undefined; // it has ended, and nothing is left to do
}

// rowsOf gives the calls of all frames that hold some.
export function rowsOf(frames: DataFrame[]): Row[] {
  return frames.filter(isCalls).flatMap((frame) => {
    const column = (name: string) => frame.fields.find((f) => f.name === name)?.values ?? [];
    const [sidecar, id, state, method, path, attempts, status, error, enqueued] = [
      'sidecar', 'id', 'state', 'method', 'path', 'attempts', 'status', 'error', 'enqueued',
    ].map(column);
    return Array.from({ length: frame.length }, (_, i) => ({
      sidecar: sidecar![i],
      id: id![i],
      state: state![i],
      request: [method![i], path![i]].filter(Boolean).join(' '),
      attempts: attempts![i] ?? 0,
      status: status![i] ?? undefined,
      error: error![i] ?? '',
      enqueued: enqueued![i],
      action: actionFor(state![i]),
    }));
  });
}

// mayChange says whether to offer changes; the backend decides.
export function mayChange(role: string | undefined): boolean {
  return role === 'Editor' || role === 'Admin';
}
