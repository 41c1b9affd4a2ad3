import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { rightsNeeded } from './resources.ts';

const DEPLOY = resolve(import.meta.dirname, '../../deploy');

interface Rule {
  apiGroups: string[];
  resources: string[];
  resourceNames?: string[];
  verbs: string[];
}

/** @returns every right that a file grants, as one line of text each */
function granted(file: string): string[] {
  const objects = parseAllDocuments(readFileSync(join(DEPLOY, file), 'utf8')).map((document) =>
    document.toJS(),
  );
  const roles = objects.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole');
  return roles.flatMap(({ metadata, rules }) =>
    rules.flatMap(({ apiGroups, resources, resourceNames, verbs }: Rule) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          (resourceNames ?? [null]).flatMap((name) =>
            verbs.map((verb) => line({ group, resource, verb, namespace: metadata.namespace ?? null, name })),
          ),
        ),
      ),
    ),
  );
}

const line = (right: ReturnType<typeof rightsNeeded>[number]): string =>
  [right.verb, `${right.resource}.${right.group}`, right.namespace ?? '*', right.name ?? '*'].join(' ');

describe('the rules in deploy/', () => {
  it.each([
    ['rbac.yaml', []],
    ['rbac-namespaced.yaml', ['vision']],
  ])('grant exactly what is used, each once: %s', (file, namespaces) => {
    const needed = rightsNeeded(namespaces, 'kserve').map(line);
    expect(granted(file).sort()).toEqual(needed.sort());
  });
});
