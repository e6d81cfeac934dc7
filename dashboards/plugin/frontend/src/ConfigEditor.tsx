import type { DataSourcePluginOptionsEditorProps } from '@grafana/data';
import { Alert, Button, Field, FieldSet, IconButton, Input, SecretInput, SecretTextArea, Stack, Text } from '@grafana/ui';
import { faultOf, inClear, maxSidecars } from './sidecars';
import type { Sidecar, WeirOptions, WeirSecrets } from './types';

type Props = DataSourcePluginOptionsEditorProps<WeirOptions, WeirSecrets>;

const pem = { ca: '-----BEGIN CERTIFICATE-----', key: '-----BEGIN PRIVATE KEY-----' };

export function ConfigEditor({ options, onOptionsChange }: Props) {
  const { jsonData, secureJsonData, secureJsonFields } = options;
  const sidecars: Sidecar[] = jsonData.sidecars?.length ? jsonData.sidecars : [{ name: '', url: '' }];
  const set = (change: Partial<WeirOptions>) => onOptionsChange({ ...options, jsonData: { ...jsonData, ...change } });
  const setSidecar = (index: number, change: Partial<Sidecar>) =>
    set({ sidecars: sidecars.map((s, i) => (i === index ? { ...s, ...change } : s)) });
  const setSecret = (name: keyof WeirSecrets, value: string) =>
    onOptionsChange({ ...options, secureJsonData: { ...secureJsonData, [name]: value } });
  const resetSecret = (name: keyof WeirSecrets) =>
    onOptionsChange({
      ...options,
      secureJsonFields: { ...secureJsonFields, [name]: false },
      secureJsonData: { ...secureJsonData, [name]: '' },
    });
  const timeout = jsonData.timeoutSeconds;
  const timeoutFault = timeout !== undefined && !(timeout >= 0.1 && timeout <= 60);
  const hasToken = Boolean(secureJsonFields?.token || secureJsonData?.token);
  const clear = hasToken ? inClear(sidecars) : [];
  const area = (name: keyof WeirSecrets, label: string, description: string, placeholder: string) => (
    <Field label={label} description={description} noMargin>
      <SecretTextArea
        id={`weir-${name}`}
        aria-label={label}
        cols={64}
        rows={4}
        placeholder={placeholder}
        value={secureJsonData?.[name] ?? ''}
        isConfigured={Boolean(secureJsonFields?.[name])}
        onReset={() => resetSecret(name)}
        onChange={(e) => setSecret(name, e.currentTarget.value)}
      />
    </Field>
  );

  return (
    <div style={{ maxWidth: 760 }}>
      <FieldSet label="Sidecars">
        <Stack direction="column" gap={1}>
          <Text color="secondary">
            Each weir by a name of your choice and the address of its management API (--admin-listen). Grafana&apos;s server asks it, not
            the browser.
          </Text>
          {sidecars.map((sidecar, index) => {
            const fault = faultOf(sidecars, index);
            return (
              <Field key={index} invalid={fault !== ''} error={fault} noMargin>
                <Stack direction="row" gap={1} alignItems="center">
                  <Input
                    aria-label={`Name of sidecar ${index + 1}`}
                    width={24}
                    placeholder="checkout-0"
                    value={sidecar.name}
                    onChange={(e) => setSidecar(index, { name: e.currentTarget.value.trim() })}
                  />
                  <Input
                    aria-label={`URL of sidecar ${index + 1}`}
                    width={56}
                    placeholder="https://10.0.0.1:9465"
                    value={sidecar.url}
                    onChange={(e) => setSidecar(index, { url: e.currentTarget.value.trim() })}
                  />
                  <IconButton
                    name="trash-alt"
                    tooltip={`Remove sidecar ${index + 1}`}
                    onClick={() => set({ sidecars: sidecars.filter((_, i) => i !== index) })}
                  />
                </Stack>
              </Field>
            );
          })}
          <div>
            <Button
              icon="plus"
              variant="secondary"
              disabled={sidecars.length >= maxSidecars}
              onClick={() => set({ sidecars: [...sidecars, { name: '', url: '' }] })}
            >
              Add a sidecar
            </Button>
          </div>
        </Stack>
      </FieldSet>

      <FieldSet label="Authentication">
        <Stack direction="column" gap={2}>
          <Field label="Token" description="What is in the file of --admin-token-file; sent to all of the sidecars above." noMargin>
            <SecretInput
              id="weir-token"
              aria-label="Token"
              width={56}
              value={secureJsonData?.token ?? ''}
              isConfigured={Boolean(secureJsonFields?.token)}
              onReset={() => resetSecret('token')}
              onChange={(e) => setSecret('token', e.currentTarget.value)}
            />
          </Field>
          {clear.length > 0 && (
            <Alert severity="warning" title="The token crosses the network in clear text">
              Use https:// for {clear.join(', ')}.
            </Alert>
          )}
          {area('tlsCACert', 'Authorities', 'In PEM form, for https://; empty trusts those of the system.', pem.ca)}
          {area('tlsClientCert', 'Client certificate', 'In PEM form, where weir asks for one (--admin-tls-client-ca).', pem.ca)}
          {area('tlsClientKey', 'Key of the client certificate', 'In PEM form.', pem.key)}
        </Stack>
      </FieldSet>

      <FieldSet label="Requests">
        <Field
          label="Timeout"
          description="Of one request to a sidecar, in seconds: 0.1 to 60; 5 where empty."
          invalid={timeoutFault}
          error="From 0.1 to 60 seconds"
          noMargin
        >
          <Input
            aria-label="Timeout in seconds"
            type="number"
            width={16}
            min={0.1}
            max={60}
            step={0.1}
            placeholder="5"
            value={timeout ?? ''}
            onChange={(e) => set({ timeoutSeconds: e.currentTarget.value === '' ? undefined : Number(e.currentTarget.value) })}
          />
        </Field>
      </FieldSet>
    </div>
  );
}
