/** How long `modelhook validate` takes for 10,000 files, from its start to its end. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FILES = 10_000;
const TEAMS = 400;
const PROGRAM = fileURLToPath(new URL('../../bin/modelhook.js', import.meta.url));

/** A policy as large as they are: match with an exclusion, a GPU, fields of the pod and of the container. */
const policy = (index: number): string => `# yaml-language-server: $schema=deployment-policy.json
apiVersion: modelhook.dev/v1alpha1
kind: DeploymentPolicy
metadata:
  name: policy-${index}
spec:
  match:
    repositories: ["gitlab:team-${index % TEAMS}/model-${index}-*", "!gitlab:team-${index % TEAMS}/model-${index}-scratch-*"]
    tags: ["v*", "!v*-rc*"]
  target:
    namespace: team-${index % TEAMS}
  gpu:
    resources: { nvidia.com/gpu: 1 }
  storage:
    uri: s3://models/\${repository.path}/\${sha}
  labels: { team: "${index % TEAMS}" }
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

/** Prints how long it took. */
export function measureValidating(say: (text: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'modelhook-bench-'));
  try {
    for (let team = 0; team < TEAMS; team++) mkdirSync(join(folder, `team-${team}`));
    for (let index = 0; index < FILES; index++)
      writeFileSync(join(folder, `team-${index % TEAMS}`, `policy-${index}.yaml`), policy(index));
    const begun = performance.now();
    execFileSync(process.execPath, [PROGRAM, 'validate', folder], { stdio: 'ignore' });
    say(`modelhook validate, ${FILES} files: ${((performance.now() - begun) / 1000).toFixed(2)} s`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) measureValidating((text) => process.stdout.write(`${text}\n`));
