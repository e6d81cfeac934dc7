import { DataSourcePlugin } from '@grafana/data';
import { ConfigEditor } from './ConfigEditor';
import { QueryEditor } from './QueryEditor';
import { WeirDataSource } from './datasource';
import type { WeirOptions, WeirQuery, WeirSecrets } from './types';

export const plugin = new DataSourcePlugin<WeirDataSource, WeirQuery, WeirOptions, WeirSecrets>(WeirDataSource)
  .setConfigEditor(ConfigEditor)
  .setQueryEditor(QueryEditor);
