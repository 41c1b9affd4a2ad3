/** Keeps the policies in force like the config repository: at start, when it is pushed to, and every now and then. */
import { messageOf } from '../core/errors.ts';
import type { Policy } from '../core/policy.ts';
import { parseRepositoryId, unsafeName } from '../core/ref-event.ts';
import type { PolicySource } from '../policies/policies.ts';
import type { Store } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import { backoff } from './retry.ts';

export interface PolicyRefresh {
  /** Looks now. Never rejects: what fails is logged and tried again. */
  now(): Promise<void>;
  start(): void;
  stop(): void;
}

export interface PolicyRefreshDeps {
  policies: PolicySource;
  store: Store;
  log: Log;
  /** Milliseconds between two looks without a push. */
  interval: number;
  /** Called when policies came into force. */
  changed: () => void;
}

export function createPolicyRefresh({
  policies,
  store,
  log,
  interval,
  changed,
}: PolicyRefreshDeps): PolicyRefresh {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let failures = 0;
  /** The revision whose coming into force was told. */
  let told: string | null = null;
  let looking: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    clearTimeout(timer);
    try {
      // A failed look may have restored the policies that were in force before a restart.
      await policies.refresh().finally(tell);
      failures = 0;
    } catch (error) {
      failures += 1;
      log.warn({ reason: messageOf(error) }, 'the config repository cannot be read; trying again');
    }
    if (!stopped) timer = setTimeout(begin, failures > 0 ? Math.min(backoff(failures), interval) : interval);
  }

  async function tell(): Promise<void> {
    const current = policies.current();
    if (!current || current.revision === told) return;
    log.info({ revision: current.revision, policies: current.policies.length }, 'policies in force');
    changed();
    const suspended = current.policies.filter(({ suspend }) => suspend);
    await store.rollouts.lookAgain(suspended.map(({ name }) => name));
    await store.repositories.scheduleListings(namedRepositories(current.policies));
    told = current.revision;
  }

  /** One look at a time; who asks during one gets a look that begins after the question. */
  function begin(): Promise<void> {
    looking = looking.then(look);
    return looking;
  }

  return {
    now: begin,
    start: () => void begin(),
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** Repositories that a policy names without a wildcard: their refs are listed though they never sent an event. */
function namedRepositories(policies: readonly Policy[]): string[] {
  const patterns = policies.flatMap(({ match }) => match.repositories.patterns);
  return [...new Set(patterns.filter(isRepository))];
}

/** A pattern that is the id of one repository. */
function isRepository(pattern: string): boolean {
  const path = parseRepositoryId(pattern)?.path;
  return (
    path !== undefined &&
    !pattern.includes('*') &&
    !pattern.startsWith('!') &&
    !unsafeName('the repository', path)
  );
}
