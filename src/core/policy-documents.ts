/** The documents of the config repository's files, by kind. */
import type { Fault } from './errors.ts';
import { API_VERSION } from './gpu-profile.ts';
import { isJsonObject, type Json } from './json.ts';
import { suggestion } from './nearest.ts';
import { readYaml, type YamlDocument } from './yaml-source.ts';

export interface PolicyFile {
  path: string;
  text: string;
}

/** A document and the file it stands in. */
export interface Source {
  file: string;
  document: YamlDocument;
}

/** What the files hold, before any of it is checked. */
export interface SortedDocuments {
  policies: Source[];
  profiles: Source[];
  runtimes: Source[];
  faults: Fault[];
  /** Documents that were skipped. */
  notes: Fault[];
}

const OUR_KINDS = ['DeploymentPolicy', 'GpuProfile'];
const RUNTIME_KINDS = ['ServingRuntime', 'ClusterServingRuntime'];

/** Reads files, and puts each document where its kind belongs. */
export function sortDocuments(files: readonly PolicyFile[]): SortedDocuments {
  const sorted: SortedDocuments = { policies: [], profiles: [], runtimes: [], faults: [], notes: [] };
  for (const { path, text } of files.toSorted((left, right) => (left.path < right.path ? -1 : 1))) {
    // What a decoder puts in place of bytes that are no UTF-8.
    if (text.includes('\ufffd')) {
      const message = 'the file is not UTF-8; save it as UTF-8';
      sorted.faults.push({ file: path, line: 1, column: 1, message });
      continue;
    }
    const { documents, faults } = readYaml(path, text);
    sorted.faults.push(...faults);
    for (const document of documents) sortDocument({ file: path, document }, sorted);
  }
  return sorted;
}

function sortDocument(source: Source, sorted: SortedDocuments): void {
  const { file, document } = source;
  if (document.value === null) return;
  const items = itemsOf(document);
  if (items !== null) {
    for (const item of items) sortDocument({ file, document: item }, sorted);
    return;
  }
  const apiVersion = textAt(document.value, 'apiVersion');
  const kind = textAt(document.value, 'kind');
  const [group = ''] = apiVersion.split('/');
  if (group === 'modelhook.dev' || OUR_KINDS.includes(kind)) sortOurs(source, apiVersion, kind, sorted);
  else if (group === 'serving.kserve.io' && RUNTIME_KINDS.includes(kind)) sorted.runtimes.push(source);
  else {
    const what = kind === '' ? 'a document without a kind' : `kind ${kind}`;
    const message = `skipped: ${what} is not a policy, a GPU profile or a runtime`;
    sorted.notes.push({ file, ...document.at([]), message });
  }
}

/** @returns the documents of a List, as kubectl prints several objects; null where it is none */
function itemsOf(document: YamlDocument): YamlDocument[] | null {
  const { value } = document;
  if (!isJsonObject(value) || value['kind'] !== 'List' || value['apiVersion'] !== 'v1') return null;
  const items = value['items'];
  return (Array.isArray(items) ? items : []).map((item, index) => ({
    value: item,
    at: (path) => document.at(['items', index, ...path]),
    atKey: (path) => document.atKey(['items', index, ...path]),
    atText: (path, needle, n) => document.atText(['items', index, ...path], needle, n),
  }));
}

function sortOurs(source: Source, apiVersion: string, kind: string, sorted: SortedDocuments): void {
  const { file, document } = source;
  const fault = (key: string, message: string): number =>
    sorted.faults.push({ file, ...document.at([key]), message });
  if (!OUR_KINDS.includes(kind))
    fault(
      'kind',
      `unknown kind "${kind}"${suggestion(kind, OUR_KINDS) || `; ours are ${OUR_KINDS.join(' and ')}`}`,
    );
  else if (apiVersion !== API_VERSION)
    fault('apiVersion', `expected apiVersion ${API_VERSION} for a ${kind}, got "${apiVersion}"`);
  else (kind === 'DeploymentPolicy' ? sorted.policies : sorted.profiles).push(source);
}

function textAt(value: Json, key: string): string {
  const text = isJsonObject(value) ? value[key] : undefined;
  return typeof text === 'string' ? text : '';
}
