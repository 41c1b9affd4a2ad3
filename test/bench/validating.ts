/** How long `modelhook validate` takes for 10,000 files, from its start to its end. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FILES = 10_000;
const TEAMS = 400;
const PROGRAM = fileURLToPath(new URL('../../bin/modelhook.js', import.meta.url));

interface Shape {
  title: string;
  /** `spec.match` and what belongs to it. */
  match: (index: number) => { repositories: string[]; tags: string[]; namespace?: string; name?: string };
  environment?: string;
}

const team = (index: number): string => `team-${index % TEAMS}`;
const MONOREPO = ['gitlab:ml/models'];

const SHAPES: Shape[] = [
  {
    title: 'a repository each',
    match: (index) => ({
      repositories: [
        `gitlab:${team(index)}/model-${index}-*`,
        `!gitlab:${team(index)}/model-${index}-scratch-*`,
      ],
      tags: ['v*', '!v*-rc*'],
      namespace: team(index),
    }),
  },
  {
    title: 'a monorepo, names written out',
    match: (index) => ({ repositories: MONOREPO, tags: [`model-${index}/v*`], name: `model-${index}` }),
  },
  {
    title: 'a monorepo, names from tags',
    match: (index) => ({ repositories: MONOREPO, tags: [`model-${index}/v*`], name: `\${tag}` }),
  },
  {
    title: 'a monorepo, one environment',
    match: (index) => ({ repositories: MONOREPO, tags: [`*-model-${index}`], name: `\${tag}` }),
    environment: 'production',
  },
  {
    title: 'one match, names from a template',
    match: (index) => ({
      repositories: ['gitlab:ml/**'],
      tags: ['v*', '!v*-rc*'],
      name: `\${repository.name}-${index}`,
    }),
  },
];

/** A policy as large as they are: match with an exclusion, a GPU, fields of the pod and of the container. */
function policy({ match, environment }: Shape, index: number): string {
  const { repositories, tags, namespace = 'models', name = `\${repository.name}` } = match(index);
  return `# yaml-language-server: $schema=deployment-policy.json
apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata:
  name: policy-${index}
spec:
  match: ${JSON.stringify({ repositories, tags })}
  environment: ${environment ?? `policy-${index}`}
  target: ${JSON.stringify({ namespace, name })}
  gpu:
    resources: { nvidia.com/gpu: 1 }
  storage:
    uri: s3://models/\${repository.path}/\${sha}
  labels: { team: "${team(index)}" }
  rollout: { strategy: RollingUpdate, maxSurge: 0, maxUnavailable: 1 }
  pod:
    serviceAccountName: models
    tolerations:
      - { key: nvidia.com/gpu, operator: Exists, effect: NoSchedule }
  container:
    args: ["--max-model-len=8192"]
    env:
      - { name: LOG_LEVEL, value: info }
  delivery:
    gitops: fleet
`;
}

/** What stands behind a policy: about a megabyte of faults. */
const BAD: [title: string, text: string][] = [
  ['{{', `  annotations: { a: "${'{{'.repeat(500_000)}" }\n`],
  [`\${x}`, `  annotations: { a: "${`\${x}`.repeat(250_000)}" }\n`],
  ['unknown fields', Array.from({ length: 80_000 }, (_, index) => `  x${index}: 1\n`).join('')],
];

/** @returns how long the program takes, from its start to its end */
function validate(fill: (folder: string) => void): string {
  const folder = mkdtempSync(join(tmpdir(), 'modelhook-bench-'));
  try {
    fill(folder);
    const begun = performance.now();
    spawnSync(process.execPath, [PROGRAM, 'validate', folder], { stdio: 'ignore' });
    return `${((performance.now() - begun) / 1000).toFixed(2)} s`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Prints a line for each kind of policies, and for a file that is nothing but faults. */
export function measureValidating(say: (text: string) => void): void {
  for (const shape of SHAPES) {
    const took = validate((folder) => {
      for (let index = 0; index < TEAMS; index++) mkdirSync(join(folder, team(index)));
      for (let index = 0; index < FILES; index++)
        writeFileSync(join(folder, team(index), `policy-${index}.yaml`), policy(shape, index));
    });
    say(`modelhook validate, ${FILES} files, ${shape.title}: ${took}`);
  }
  for (const [title, text] of BAD) {
    const took = validate((folder) => {
      for (const shape of SHAPES.slice(0, 1))
        writeFileSync(join(folder, 'bad.yaml'), policy(shape, 0) + text);
    });
    say(`modelhook validate, 1 MB of ${title}: ${took}`);
  }
}

if (import.meta.main) measureValidating((text) => process.stdout.write(`${text}\n`));
