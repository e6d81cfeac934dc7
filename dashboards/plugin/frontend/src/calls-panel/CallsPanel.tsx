import { AppEvents, type PanelProps, dateTimeFormat } from '@grafana/data';
import { RefreshEvent, config, getAppEvents, getDataSourceSrv } from '@grafana/runtime';
import { Alert, Badge, type BadgeColor, Button, type Column, ConfirmModal, InteractiveTable, ScrollContainer, Stack, Text } from '@grafana/ui';
import { useMemo, useState } from 'react';
import type { WeirDataSource } from '../datasource';
import { pluginId } from '../types';
import { type Row, mayChange, rowsOf } from './rows';

const colors: Record<string, BadgeColor> = { failed: 'red', expired: 'orange', succeeded: 'green', running: 'blue', retrying: 'purple' };

export function CallsPanel({ data, height, timeZone, eventBus }: PanelProps) {
  const rows = useMemo(() => rowsOf(data.series), [data.series]);
  // Calls that something was done about; until the next answer tells how they stand.
  const [done, setDone] = useState<{ of: unknown; ids: Set<string> }>({ of: data.series, ids: new Set() });
  const ids = done.of === data.series ? done.ids : new Set<string>();
  const [asking, setAsking] = useState<Row | 'all'>(); // what is about to be done
  const [busy, setBusy] = useState(false);
  const allowed = mayChange(config.bootData.user.orgRole);
  const ref = data.request?.targets.find((t) => t.datasource?.type === pluginId)?.datasource;
  const dead = rows.filter((r) => r.action === 'redrive');
  const sidecars = [...new Set(dead.map((r) => r.sidecar))];

  const act = async (what: string, work: (source: WeirDataSource) => Promise<string>, acted: Row[]) => {
    setBusy(true);
    try {
      const source = (await getDataSourceSrv().get(ref)) as unknown as WeirDataSource;
      getAppEvents().publish({ type: AppEvents.alertSuccess.name, payload: [await work(source)] });
      setDone({ of: data.series, ids: new Set([...ids, ...acted.map((r) => r.id)]) });
      eventBus.publish(new RefreshEvent());
    } catch (e) {
      const error = e as { data?: { message?: string }; message?: string };
      getAppEvents().publish({ type: AppEvents.alertError.name, payload: [what + ' failed', error.data?.message ?? error.message ?? String(e)] });
    } finally {
      setBusy(false);
    }
  };
  const one = (row: Row) =>
    row.action === 'redrive'
      ? act('Redriving', async (s) => ((await s.redrive(row.sidecar, row.id)), `The call runs again: ${row.id}`), [row])
      : act('Cancelling', async (s) => ((await s.cancel(row.sidecar, row.id)), `The call is cancelled: ${row.id}`), [row]);
  const all = () =>
    act(
      'Redriving',
      async (s) => {
        let redriven = 0, failed = 0;
        for (const name of sidecars) {
          const result = await s.redriveAll(name);
          redriven += result.redriven;
          failed += result.failed?.length ?? 0;
        }
        return `${redriven} calls run again${failed ? `, ${failed} could not be redriven` : ''}`;
      },
      dead
    );

  const columns = useMemo<Array<Column<Row>>>(() => {
    const list: Array<Column<Row>> = [
      { id: 'sidecar', header: 'Sidecar' },
      { id: 'id', header: 'Call', cell: ({ row }) => <Text variant="code">{row.original.id}</Text> },
      { id: 'state', header: 'State', cell: ({ row }) => <Badge text={row.original.state} color={colors[row.original.state] ?? 'darkgrey'} /> },
      { id: 'request', header: 'Request' },
      { id: 'attempts', header: 'Attempts' },
      { id: 'status', header: 'Status', cell: ({ row }) => <>{row.original.status ?? '–'}</> },
      { id: 'error', header: 'Why' },
      { id: 'enqueued', header: 'Enqueued', cell: ({ row }) => <>{dateTimeFormat(row.original.enqueued, { timeZone })}</> },
    ];
    if (allowed) {
      list.push({
        id: 'action',
        header: '',
        disableGrow: true,
        cell: ({ row: { original: row } }) => {
          if (ids.has(row.id)) {
            return <Text color="secondary">done</Text>;
          }
          if (!row.action) {
            return null;
          }
          const name = row.action === 'redrive' ? 'Redrive' : 'Cancel';
          return (
            <Button size="sm" variant="secondary" aria-label={`${name} ${row.id}`} disabled={busy} onClick={() => setAsking(row)}>
              {name}
            </Button>
          );
        },
      });
    }
    return list;
  }, [allowed, busy, ids.size, data.series, timeZone]);

  if (!ref) {
    return <Alert severity="info" title="No calls to show">Choose the weir data source, and show calls or dead letters.</Alert>;
  }
  return (
    <div style={{ height, display: 'flex', flexDirection: 'column', gap: 8 }}>
      <Stack direction="row" justifyContent="space-between" alignItems="center">
        <Text color="secondary">
          {rows.length} {rows.length === 1 ? 'call' : 'calls'}
          {!allowed && '; the role Editor or Admin may redrive and cancel'}
        </Text>
        {allowed && dead.length > 0 && (
          <Button size="sm" icon="repeat" disabled={busy} onClick={() => setAsking('all')}>
            Redrive all
          </Button>
        )}
      </Stack>
      <ScrollContainer>
        <InteractiveTable columns={columns} data={rows} getRowId={(r: Row) => `${r.sidecar}/${r.id}`} />
      </ScrollContainer>
      {asking && (
        <ConfirmModal
          isOpen
          {...question(asking, sidecars)}
          onConfirm={() => {
            setAsking(undefined);
            void (asking === 'all' ? all() : one(asking));
          }}
          onDismiss={() => setAsking(undefined)}
        />
      )}
    </div>
  );
}

// question is what is asked before anything is done.
function question(about: Row | 'all', sidecars: string[]) {
  if (about === 'all') {
    return {
      title: 'Redrive all dead letters',
      body: `Every dead letter of ${sidecars.join(', ')} runs again, with as many attempts as a new call: also those that are not shown here.`,
      confirmText: 'Redrive all',
      confirmButtonVariant: 'primary' as const,
    };
  }
  const what = `${about.request || 'The call'} (${about.id}, of ${about.sidecar})`;
  return about.action === 'redrive'
    ? { title: 'Redrive this call', body: `${what} runs again, with as many attempts as a new call.`, confirmText: 'Redrive', confirmButtonVariant: 'primary' as const }
    : { title: 'Cancel this call', body: `${what} is not run any more. There is no way back.`, confirmText: 'Cancel the call', dismissText: 'Keep it', confirmButtonVariant: 'destructive' as const };
}
