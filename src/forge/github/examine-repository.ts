/** Looks whether a repository on GitHub is there, and whether we may do in it what it is used for. */
import { z } from 'zod';
import { fault, good, guarded, warning } from '../findings.ts';
import type { Finding, RepositoryUse } from '../forge.ts';
import { type GitHubApi, pathOf, shaped } from './api.ts';
import { wordsOf } from './connection.ts';
import type { HookExaminer } from './examine-webhook.ts';
import type { GitHubAdministrationOptions } from './look.ts';
import { installationRoute } from './tokens.ts';

type Right = 'statuses' | 'contents' | 'pulls' | 'comments';

const NO_COMMIT = '0'.repeat(40);

interface RightWords {
  does: string;
  permission: string;
  /** Of a classic token. */
  scope: string;
  /** Its name among an installation's. */
  ofApp: string;
  /** What asks for it without doing it: GitHub answers 422 to who may, for there is no such commit or branch. */
  probe: { below: string; body: Readonly<Record<string, string>> };
}

const OPENING = {
  below: '/pulls',
  body: { title: 'modelhook doctor', head: 'modelhook/doctor', base: 'modelhook/doctor' },
};

const RIGHTS: Readonly<Record<Right, RightWords>> = {
  statuses: {
    does: 'write commit statuses',
    permission: '"Commit statuses: write"',
    scope: '"repo:status"',
    ofApp: 'statuses',
    probe: { below: `/statuses/${NO_COMMIT}`, body: { state: 'error', context: 'modelhook/doctor' } },
  },
  contents: {
    does: 'push',
    permission: '"Contents: write"',
    scope: '"repo"',
    ofApp: 'contents',
    probe: { below: '/git/refs', body: { ref: 'refs/heads/modelhook/doctor', sha: NO_COMMIT } },
  },
  pulls: {
    does: 'open pull requests, which policies with "via: pullRequest" need',
    permission: '"Pull requests: write"',
    scope: '"repo"',
    ofApp: 'pull_requests',
    probe: OPENING,
  },
  comments: {
    does: 'comment on pull requests',
    permission: '"Pull requests: write"',
    scope: '"repo"',
    ofApp: 'pull_requests',
    // It is the same permission; a comment on none is answered with 404, as one without the permission is.
    probe: OPENING,
  },
};

const NEEDED: Readonly<Record<RepositoryUse['use'], readonly Right[]>> = {
  model: ['statuses'],
  policies: ['statuses', 'comments'],
  gitops: ['contents', 'pulls'],
};

const installationSchema = z.object({ permissions: z.record(z.string(), z.string()) });

/** @param hooks null: its webhook is not looked at */
export async function examineRepository(
  { forge, api, connection }: GitHubAdministrationOptions,
  repository: string,
  uses: readonly RepositoryUse['use'][],
  hooks: HookExaminer | null,
): Promise<Finding[]> {
  const path = pathOf(repository);
  const { id, full_name: name, archived } = await api.repository(path);
  const findings: Finding[] = [];
  if (`${forge}:${name}` !== repository)
    findings.push(
      warning(
        repository,
        `it is called ${forge}:${name} today`,
        `write ${forge}:${name} in modelhook.yaml and the policies`,
      ),
    );
  findings.push(await readable(api, repository, path));
  if (archived) {
    findings.push(
      fault(repository, 'it is archived, so nothing can be written there', 'unarchive it, or use another'),
    );
  } else if (api.auth !== 'none') {
    const may = api.auth === 'app' ? await permitted(path) : (right: Right) => probed(api, path, id, right);
    for (const right of new Set(uses.flatMap((use) => NEEDED[use])))
      findings.push(...(await guarded(repository, async () => [told(repository, right, await may(right))])));
  }
  if (hooks) findings.push(...(await guarded(repository, () => hooks.examine(repository, name, uses))));
  return findings;

  async function permitted(of: string) {
    const answer = await connection.askAsApp(installationRoute(of));
    if (answer.status !== 200) throw api.unreadable(of, answer);
    const { permissions } = shaped(installationSchema, answer.data);
    return async (right: Right) => permissions[RIGHTS[right].ofApp] === 'write';
  }
}

async function readable(api: GitHubApi, repository: string, path: string): Promise<Finding> {
  const answer = await api.ask(path, `GET /repos/${path}/git/matching-refs/heads/?per_page=1`);
  if (answer.status === 200) return good(repository, 'it is there, and may be read');
  if (answer.status === 409) return good(repository, 'it is there, and empty');
  if (answer.status !== 403 && answer.status !== 404) throw api.unreadable(path, answer);
  return fault(
    repository,
    `it is there, and its refs and files may not be read${wordsOf(answer.data)}`,
    'give the token "Contents: read" (classic token: "repo")',
  );
}

/** @returns whether GitHub would let us */
async function probed(api: GitHubApi, path: string, id: number | bigint, right: Right): Promise<boolean> {
  const { below, body } = RIGHTS[right].probe;
  const answer = await api.ask(path, `POST /repositories/${id}${below}`, { body });
  // 409 is that of an empty repository.
  if (answer.status === 422 || answer.status === 409) return true;
  if (answer.status === 403 || answer.status === 404) return false;
  throw api.unreadable(path, answer);
}

function told(repository: string, right: Right, may: boolean): Finding {
  const { does, permission, scope } = RIGHTS[right];
  if (may) return good(repository, `the token may ${does}`);
  const say = right === 'pulls' ? warning : fault;
  return say(
    repository,
    `the token may not ${does}`,
    `give it ${permission} (fine-grained token or GitHub App) or the scope ${scope} (classic token), with the role Write`,
  );
}
