import { expect, it } from 'vitest';
import { storageUriFault, storageUriWarning } from './storage-uri.ts';

it.each([
  's3://models/iris',
  'gs://models/iris',
  'pvc://claim/path',
  'file:///mnt/model',
  'https://account.blob.core.windows.net/models/iris',
  'hdfs://namenode/iris',
  'webhdfs://namenode/iris',
  'hf://owner/model',
  'hf://owner/model:v1.0',
  'oci://registry/iris:v1',
  'oci+native://registry/iris:v1',
  '/mnt/models/iris',
])('%s is taken without a word', (uri) => {
  expect([storageUriFault(uri), storageUriWarning(uri)]).toEqual([null, null]);
});

it.each([
  ['s3://models/a b', /white space/],
  ['hf://model', /owner\/model/],
  ['hf://owner/model:feature/x', /owner\/model/],
  ['pvc:///path', /claim/],
  ['s3://', /names no place/],
  ['s3:models', /two slashes/],
])('%s is refused', (uri, expected) => {
  expect(storageUriFault(uri)).toMatch(expected);
});

it.each([
  ['https://git.example.com/iris.git', /not reproducible/],
  ['ftp://models/iris', /ClusterStorageContainer/],
])('%s is warned of', (uri, expected) => {
  expect(storageUriWarning(uri)).toMatch(expected);
});
