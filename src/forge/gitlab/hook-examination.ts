/** Looks at the webhooks of projects: whether there is one, sends what it must, and arrived. */

import { fault, good, isSameAddress, warning } from '../findings.ts';
import type { Finding, RepositoryUse } from '../forge.ts';
import type { GitLabApi } from './api.ts';
import { EVENTS, type HookEvent, isCalled, listHooks } from './hooks.ts';
import { type Hook, hookEventSchema, type Project } from './schema.ts';

const NEEDED: Readonly<Record<RepositoryUse['use'], readonly HookEvent[]>> = {
  model: ['push_events', 'tag_push_events'],
  policies: ['push_events', 'merge_requests_events'],
  gitops: ['merge_requests_events'],
};

/** Where a hook was found. */
interface Place {
  /** Such as `projects/42/hooks`. */
  path: string;
  /** Whose hooks these are, for people. */
  whose: string;
  /** What `modelhook webhook create` takes for it; null where it makes none there. */
  create: string | null;
}

/**
 * @param forge its name in modelhook.yaml
 * @param url the address that webhooks must report to; null: not known, and nothing is looked at
 */
export function createHookExamination(forge: string, api: GitLabApi, url: string | null) {
  /** Projects share their groups. */
  const lists = new Map<string, ReturnType<typeof listHooks>>();

  function hooksOf({ path, whose }: Place): ReturnType<typeof listHooks> {
    const list = lists.get(path) ?? listHooks(api, whose, path);
    lists.set(path, list);
    return list;
  }

  return async (use: RepositoryUse, { id, path_with_namespace }: Project): Promise<Finding[]> => {
    if (url === null) return [];
    const hidden: string[] = [];
    for (const place of placesOf(forge, id, path_with_namespace)) {
      const list = await hooksOf(place);
      if ('hooks' in list) {
        const hook = list.hooks.find((each) => isSameAddress(each.url, url));
        if (hook) return examine(use, place, hook);
      }
      // Groups have none without Premium, and those of the system are shown to administrators alone.
      else if (place.create !== null && list.refused.status !== 404) hidden.push(place.whose);
    }
    return [missing(use, url, hidden)];
  };

  async function examine(use: RepositoryUse, place: Place, hook: Hook): Promise<Finding[]> {
    const { repository } = use;
    const { whose, create } = place;
    const update =
      create === null
        ? 'correct it in the Admin area, under System hooks'
        : `run modelhook webhook create ${create}`;
    const unsent = NEEDED[use.use].filter((event) => !hook[event]).map((event) => EVENTS[event]);
    const findings: Finding[] = [];
    const find = (state: typeof fault, message: string, fix = update) =>
      findings.push(state(repository, `the webhook of ${whose} ${message}`, fix));
    if (unsent.length > 0) find(fault, `sends no ${unsent.join(' and ')} events`);
    if (hook.push_events_branch_filter && use.use !== 'gitops')
      find(warning, `sends pushes of ${hook.push_events_branch_filter} alone`);
    if (hook.custom_webhook_template) find(fault, 'has a custom template, which modelhook cannot read');
    if (!hook.enable_ssl_verification && hook.url.startsWith('https:'))
      find(warning, 'does not check our certificate, so another may receive what it sends');
    if (!isCalled(hook)) find(fault, `is switched off after failures${until(hook)}`);
    const last = await lastDelivery(place, hook);
    if (last.fix !== null) find(fault, last.message, last.fix.replaceAll('<update>', update));
    if (findings.length > 0) return findings;
    return [good(repository, `the webhook of ${whose} ${last.message}`)];
  }

  /** @returns what became of it; without a fix where it arrived, or nothing is known */
  async function lastDelivery({ path }: Place, hook: Hook): Promise<{ message: string; fix: string | null }> {
    // Few, since each holds the whole body.
    const response = await api.ask('GET', `${path}/${hook.id}/events?per_page=5`);
    if (!response.ok)
      return { message: 'is there; its page shows its last deliveries, under Recent events', fix: null };
    const events = await api.read('the deliveries', response, hookEventSchema.array());
    const newest = events.toSorted((a, b) => b.id - a.id)[0];
    if (!newest) return { message: 'is there, and sent nothing in the last days', fix: null };
    return meaningOf(String(newest.response_status ?? ''));
  }
}

/** @param hidden whose webhooks the token may not see */
function missing({ repository, use }: RepositoryUse, url: string, hidden: readonly string[]): Finding {
  const events = NEEDED[use].map((event) => EVENTS[event]).join(' and ');
  const create = `run modelhook webhook create ${repository}`;
  if (hidden.length > 0)
    return warning(
      repository,
      `no webhook to ${url} is seen, and those of ${hidden.join(', ')} are not shown to the token, which takes the role Maintainer, or Owner of a group`,
      `look there, under Settings, Webhooks, for one to that address with ${events} events whose recent events succeeded; where there is none, ${create}`,
    );
  // What waits for a merge request is looked at from time to time as well.
  const state = use === 'gitops' ? warning : fault;
  return state(repository, `no webhook tells ${url} of its ${events} events`, create);
}

/** The project itself, its groups from the nearest on, and the whole GitLab. */
function placesOf(forge: string, id: number, path: string): Place[] {
  const segments = path.split('/');
  const groups = segments
    .slice(0, -1)
    .map((_, index) => segments.slice(0, segments.length - 1 - index).join('/'));
  return [
    { path: `projects/${id}/hooks`, whose: 'the project', create: `${forge}:${path}` },
    ...groups.map((group) => ({
      path: `groups/${encodeURIComponent(group)}/hooks`,
      whose: `the group ${group}`,
      create: `--group ${forge}:${group}`,
    })),
    { path: 'hooks', whose: 'the system', create: null },
  ];
}

const until = ({ disabled_until }: Hook): string =>
  disabled_until ? ` until ${disabled_until}` : ', until a test request of it succeeds';

/** What an answer to a delivery means. */
function meaningOf(status: string): { message: string; fix: string | null } {
  if (/^2\d\d$/.test(status))
    return { message: `arrives: the last delivery was answered ${status}`, fix: null };
  if (!/^\d{3}$/.test(status))
    return {
      message: 'does not arrive: GitLab had no answer to its last delivery',
      fix: 'make the address reachable from GitLab (name, firewall, certificate, 10 seconds), and in a local network let an administrator allow it under Outbound requests',
    };
  if (status.startsWith('3'))
    return {
      message: `is redirected with ${status}, which GitLab takes for success and does not follow`,
      fix: 'set its address to where that leads',
    };
  const [meaning, fix] = MEANINGS.get(status) ?? ['', 'look at the answer on its page, under Recent events'];
  return { message: `was answered ${status} the last time${meaning}`, fix };
}

const MEANINGS = new Map<string, readonly [meaning: string, fix: string]>([
  ['400', [': its body could not be read', 'look at the answer on its page, under Recent events']],
  [
    '401',
    [': its secret is none of webhookSecrets', '<update>, with a controller that has the same secrets'],
  ],
  ['404', [': no forge of this name is configured there', "correct its address, or the forge's name"]],
  ['503', [': the store could not be written', 'see the log of the controller']],
]);
