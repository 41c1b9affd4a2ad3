/** What tests put around the server: a forge, policies and a log that are as simple as can be, and sample rollouts. */
import type { RefMove } from '../core/ref-event.ts';
import type { Rollout } from '../core/rollout.ts';
import { type Forge, WebhookError } from '../forge/forge.ts';
import { createCancel } from '../pipeline/cancel.ts';
import { createReceive } from '../pipeline/receive.ts';
import type { PoliciesStatus, PolicySource } from '../policies/policies.ts';
import type { RolloutChange, Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import { type AppDependencies, createApp } from './app.ts';

export const POLICY_REVISION = '9d1e8a4c0b7f65e2a1c3d4e5f60718293a4b5c6d';

/** A commit for a number, so that samples differ. */
export const sampleSha = (n: number): string => n.toString(16).padStart(40, 'a');

const beyondThisTest = (): never => {
  throw new Error('the server has no business with this part of a forge');
};

/** A forge whose signature is the word "good", and whose bodies are the moves themselves. */
export function fakeForge(name: string): Forge {
  return {
    name,
    webhooks: {
      receive({ header, body }) {
        if (header('x-signature') !== 'good') throw new WebhookError(401, 'The header X-Signature is wrong.');
        const text = new TextDecoder().decode(body);
        if (text === '"ping"') return { kind: 'ignored', reason: 'a ping' };
        try {
          const { id = null, ...move }: RefMove & { id?: string | null } = JSON.parse(text);
          if (typeof move.ref !== 'string') throw new TypeError('no ref');
          return { kind: 'refs', id, moves: [move] };
        } catch (error) {
          throw new WebhookError(400, `The body cannot be read: ${String(error)}`);
        }
      },
    },
    repositories: {
      lag: 0,
      identify: beyondThisTest,
      readRef: beyondThisTest,
      readFiles: beyondThisTest,
      listRefs: beyondThisTest,
    },
    statuses: { write: beyondThisTest, holds: beyondThisTest },
    pullRequests: null,
    reviews: null,
    administration: { registerWebhook: beyondThisTest, examine: beyondThisTest },
  };
}

/** Policies whose state a test changes at will. */
export class FakePolicies implements PolicySource {
  set: ReturnType<PolicySource['current']> = null;
  state: PoliciesStatus = {
    repository: 'plain:policies',
    branch: 'main',
    inForce: POLICY_REVISION,
    head: POLICY_REVISION,
    faults: [],
    unreachable: null,
  };

  current(): ReturnType<PolicySource['current']> {
    return this.set;
  }
  status(): PoliciesStatus {
    return this.state;
  }
  async refresh(): Promise<void> {}
}

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  fields: object;
  message: string;
}

/** A log that remembers. */
export function fakeLog(): Log & { lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine['level']) => (fields: object, message: string) => {
    lines.push({ level, fields, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** The whole server over a store, with a forge named `plain`. */
export function fakeApp(store: Store, changes: Partial<AppDependencies> = {}) {
  const log = fakeLog();
  const policies = new FakePolicies();
  const app = createApp({
    receive: createReceive({
      store,
      policies: { current: () => null },
      pullRequestsIn: () => [],
      lookAtReviews: () => {},
      log,
    }),
    forges: new Map([['plain', fakeForge('plain')]]),
    store,
    policies,
    cancel: createCancel({ store, pullRequestsTo: () => null, log }),
    apiTokens: [],
    publicUrl: 'https://modelhook.example.com',
    log,
    ...changes,
  });
  return { app, log, policies };
}

export interface Sample {
  repository?: string;
  ref?: string;
  sha?: string;
  environment?: string;
  /** What happens to it, stage by stage. */
  changes?: RolloutChange[];
}

/** The changes of a rollout that went well, for a target of the given name. */
export const delivered = (name: string): RolloutChange[] => [
  {
    stage: 'deliver',
    message: 'Rendered',
    target: { cluster: 'prod', namespace: 'vision', name },
    plan: {
      gitops: 'fleet',
      readiness: null,
      via: 'push',
      path: `prod/vision/${name}.yaml`,
      adopt: false,
      updateExisting: true,
      modes: ['Standard'],
      why: 'Policy models-production deploys it.',
      decisions: ['runtime kserve-mlserver: named by the policy'],
      warnings: ['no catalogue has the runtime'],
    },
    manifest: `kind: InferenceService\nmetadata:\n  name: ${name}\n`,
  },
  {
    phase: 'delivered',
    stage: null,
    message: 'Committed 1a2b3c4 to fleet',
    receipt: { commit: '1a2b3c4d'.repeat(5), path: `prod/vision/${name}.yaml` },
  },
];

/** Puts one rollout into the store as the pipeline would, and takes it as far as the changes say. */
export async function addRollout(store: Store, sample: Sample = {}): Promise<Rollout> {
  const { repository = 'plain:ml/iris', ref = 'refs/tags/v1.0.0', environment = 'production' } = sample;
  const move = { repository, projectId: null, ref, before: null, after: sample.sha ?? sampleSha(1) };
  const recorded = await store.events.record(move, 'webhook', null);
  if (recorded.outcome !== 'new') throw new Error(`the sample made no event: ${recorded.outcome}`);
  const drafts = [{ policy: `${environment}-policy`, environment }];
  await store.events.matched([{ event: recorded.event, policyRevision: POLICY_REVISION, drafts }]);
  const [rollout] = (await store.rollouts.list({ limit: 1 })).items;
  if (rollout === undefined) throw new Error('the sample made no rollout');
  for (const change of sample.changes ?? []) await store.rollouts.advance(rollout.id, change);
  return rollout;
}
