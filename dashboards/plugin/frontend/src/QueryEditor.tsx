import type { QueryEditorProps } from '@grafana/data';
import { getTemplateSrv } from '@grafana/runtime';
import { Alert, Combobox, InlineField, InlineFieldRow, InlineSwitch, Input, MultiCombobox } from '@grafana/ui';
import { useEffect, useState } from 'react';
import type { WeirDataSource } from './datasource';
import { chosen, defaultQuery, defaultRows, groups, hasRows, maxRows, queryTypes, rowsOf, states } from './query';
import type { WeirOptions, WeirQuery } from './types';

type Props = QueryEditorProps<WeirDataSource, WeirQuery, WeirOptions>;

export function QueryEditor({ datasource, query, onChange, onRunQuery }: Props) {
  const q = { ...defaultQuery, ...query };
  const [names, setNames] = useState<string[]>([]);
  const [fault, setFault] = useState('');
  const [rows, setRows] = useState(String(q.limit ?? defaultRows));
  useEffect(() => {
    let gone = false;
    datasource.sidecars().then(
      (list) => !gone && setNames(list),
      (e) => !gone && setFault(e?.data?.message ?? e?.message ?? String(e))
    );
    return () => {
      gone = true;
    };
  }, [datasource]);
  const set = (change: Partial<WeirQuery>) => {
    onChange({ ...q, ...change } as WeirQuery);
    onRunQuery();
  };
  const variables = getTemplateSrv().getVariables().map((v) => '$' + v.name);
  const options = [...new Set([...names, ...variables, ...chosen(q.sidecars)])].map((value) => ({ value, label: value }));

  return (
    <>
      {fault && <Alert severity="error" title="The sidecars' names are not known">{fault}</Alert>}
      <InlineFieldRow>
        <InlineField label="Show" labelWidth={12}>
          <Combobox aria-label="What to show" width={32} options={queryTypes} value={q.queryType} onChange={({ value }) => set({ queryType: value })} />
        </InlineField>
        <InlineField label="Sidecars" labelWidth={12} tooltip="None chosen are all">
          <MultiCombobox
            aria-label="Sidecars"
            width={40}
            placeholder="All"
            options={options}
            value={chosen(q.sidecars)}
            onChange={(list) => set({ sidecars: list.map((o) => o.value).join(',') })}
          />
        </InlineField>
      </InlineFieldRow>
      {q.queryType === 'state' && (
        <InlineFieldRow>
          <InlineField label="Series" labelWidth={12}>
            <MultiCombobox
              aria-label="Series"
              width={72}
              options={groups}
              value={q.groups ?? []}
              onChange={(list) => set({ groups: list.map((o) => o.value) })}
            />
          </InlineField>
          <InlineField label="Live" tooltip="Goes on once a second, without the dashboard being refreshed">
            <InlineSwitch aria-label="Live" value={q.live ?? false} onChange={(e) => set({ live: e.currentTarget.checked })} />
          </InlineField>
        </InlineFieldRow>
      )}
      {hasRows(q.queryType) && (
        <InlineFieldRow>
          {q.queryType === 'calls' && (
            <InlineField label="State" labelWidth={12}>
              <Combobox
                aria-label="State of the calls"
                width={32}
                isClearable
                placeholder="All"
                options={[...states, ...variables].map((value) => ({ value, label: value }))}
                value={q.state || null}
                onChange={(option) => set({ state: option?.value ?? '' })}
              />
            </InlineField>
          )}
          <InlineField
            label="Rows"
            labelWidth={12}
            tooltip={`Of each sidecar, 1 to ${maxRows}`}
            invalid={rowsOf(rows) === undefined}
            error={`A number from 1 to ${maxRows}`}
          >
            <Input
              aria-label="Rows"
              type="number"
              width={12}
              min={1}
              max={maxRows}
              value={rows}
              onChange={(e) => setRows(e.currentTarget.value)}
              onBlur={() => rowsOf(rows) !== undefined && rowsOf(rows) !== (q.limit ?? defaultRows) && set({ limit: rowsOf(rows) })}
            />
          </InlineField>
        </InlineFieldRow>
      )}
    </>
  );
}
