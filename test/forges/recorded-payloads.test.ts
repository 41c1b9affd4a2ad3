/**
 * What forges really sent. The recordings are not part of this project: `MODELHOOK_TEST_PAYLOADS` names the folder with
 * `github/`, `gitlab/`, `gitea/` and `huggingface/` (bodies) and `gitea-1.26/` (every delivery of a scenario, with headers).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { webhookRequest } from '../../src/forge/contract.ts';
import { type WebhookDelivery, WebhookError, type WebhookReceiver } from '../../src/forge/forge.ts';
import { createGiteaWebhooks, sign as signAsGitea } from '../../src/forge/gitea/webhooks.ts';
import { createGitHubWebhooks, sign as signAsGitHub } from '../../src/forge/github/webhooks.ts';
import { createGitLabWebhooks } from '../../src/forge/gitlab/webhooks.ts';

const folder = process.env['MODELHOOK_TEST_PAYLOADS'] ?? '';
/** The recordings of Gitea 1.26 are signed with this. */
const SECRET = 'a-shared-secret';

interface ReadingForge {
  webhooks: WebhookReceiver;
  headers(event: string, body: Buffer): Record<string, string>;
}

const FORGES: Readonly<Record<string, ReadingForge>> = {
  github: {
    webhooks: createGitHubWebhooks('github', [SECRET]),
    headers: (event, body) => ({
      'X-GitHub-Event': event,
      'X-Hub-Signature-256': signAsGitHub(SECRET, body),
    }),
  },
  gitlab: {
    webhooks: createGitLabWebhooks('gitlab', [SECRET], () => 0),
    headers: () => ({ 'X-Gitlab-Token': SECRET }),
  },
  gitea: {
    webhooks: createGiteaWebhooks('gitea', [SECRET]),
    headers: (event, body) => ({ 'X-Gitea-Event': event, 'X-Gitea-Signature': signAsGitea(SECRET, body) }),
  },
};

const forgeOf = (name: string): ReadingForge => {
  const forge = FORGES[name];
  if (!forge) throw new Error(`there is no forge ${name} here`);
  return forge;
};

/** The event that a body came with, and what comes of it. */
const BODIES: readonly [file: string, event: string, told: string][] = [
  ['github/create_tag.json', 'create', 'ignored'],
  ['github/issue_comment_created.json', 'issue_comment', 'ignored'],
  ['github/ping.json', 'ping', 'ignored'],
  ['github/pull_request_synchronize.json', 'pull_request', 'changed github:bradrydzewski/drone-test-go'],
  [
    'github/push_branch.json',
    'push',
    'github:Codertocat/Hello-World 135493233 refs/heads/master a10867b → 199eddf',
  ],
  [
    'github/push_tag_delete.json',
    'push',
    'github:bradrydzewski/drone-test-go 13933572 refs/tags/v0.0.1 d2b75aa → gone',
  ],
  [
    'github/push_tag_lightweight.json',
    'push',
    'github:bradrydzewski/drone-test-go 13933572 refs/tags/v0.0.1 new → d2b75aa',
  ],
  ['github/repository_renamed.json', 'repository', 'changed github:Octocoders/Hello-World'],
  ['github/repository_transferred.json', 'repository', 'changed github:Octocoders/Hello-World'],
  ['gitlab/merge_request_open.json', '', 'changed gitlab:group1/group2/group3/grp2repo'],
  ['gitlab/note_merge_request.json', '', 'ignored'],
  [
    'gitlab/push_branch_delete.json',
    '',
    'gitlab:gitlab-org/hello-world 4861503 refs/heads/feature c4c7922 → gone',
  ],
  [
    'gitlab/push_branch_subgroup.json',
    '',
    'gitlab:group1/group2/group3/grp2repo 4861503 refs/heads/master 9217710 → 2adc946',
  ],
  ['gitlab/system_project_rename.json', '', 'changed gitlab:jsmith/underscore'],
  ['gitlab/system_tag_push_annotated.json', '', 'gitlab:jsmith/example 1 refs/tags/v1.0.0 new → 5937ac0'],
  ['gitlab/tag_push_create.json', '', 'gitlab:gitlab-org/hello-world 4861503 refs/tags/v1.0.0 new → 2adc946'],
  [
    'gitlab/tag_push_delete.json',
    '',
    'gitlab:gitlab-org/hello-world 4861503 refs/tags/v1.0.0 2adc946 → gone',
  ],
  ['gitea/create_tag.json', 'create', 'ignored'],
  ['gitea/delete_tag.json', 'delete', 'ignored'],
  ['gitea/pull_request_synchronized.json', 'pull_request', 'changed gitea:jcitizen/my-repo'],
  ['gitea/push_branch.json', 'push', 'gitea:gogits/hello-world 61 refs/heads/master 9836a96 → 4522cbc'],
  ['gitea/push_branch_create_new.json', 'push', 'gitea:example/example 1 refs/heads/master new → 67b5658'],
];

const CREATED = 'ignored';
/** What comes of the deliveries of each scenario, in the order in which they arrived. */
const SCENARIOS: Readonly<Record<string, readonly string[]>> = {
  '01-first-push-of-main': [CREATED, 'gitea:ml/iris 1 refs/heads/main new → a6704b1'],
  '02-tag-lightweight': ['gitea:ml/iris 1 refs/tags/v1.0.0 new → a6704b1', CREATED],
  '03-tag-annotated': ['gitea:ml/iris 1 refs/tags/v1.1.0 new → a6704b1', CREATED],
  '04-five-tags-in-one-push': ['v2.0.0', 'v2.1.0', 'v2.2.0', 'v2.3.0', 'v2.4.0'].flatMap((tag) => [
    `gitea:ml/iris 1 refs/tags/${tag} new → a6704b1`,
    CREATED,
  ]),
  '05-push-to-main': ['gitea:ml/iris 1 refs/heads/main a6704b1 → 93a928f'],
  '06-tag-moved': ['gitea:ml/iris 1 refs/tags/v1.0.0 new → 93a928f', CREATED],
  '07-tag-deleted': ['gitea:ml/iris 1 refs/tags/v2.4.0 a6704b1 → gone', 'ignored'],
  '08-branch-with-slash-created': [CREATED, 'gitea:ml/iris 1 refs/heads/feature/x new → b5eed54'],
  '09-pull-request-opened': ['changed gitea:ml/iris'],
  '10-pull-request-pushed-to': [
    'gitea:ml/iris 1 refs/heads/feature/x b5eed54 → 9804295',
    'changed gitea:ml/iris',
  ],
  '11-pull-request-force-pushed': [
    'gitea:ml/iris 1 refs/heads/feature/x 9804295 → 62bc140',
    'changed gitea:ml/iris',
  ],
  '12-pull-request-commented': ['ignored'],
  '13-pull-request-merged': ['changed gitea:ml/iris', 'gitea:ml/iris 1 refs/heads/main 93a928f → 81d2fd7'],
  '14-branch-deleted': ['gitea:ml/iris 1 refs/heads/feature/x new → gone'],
  '15-repository-renamed': [],
  '16-test-delivery': ['ignored'],
};

function told(delivery: WebhookDelivery): string {
  if (delivery.kind === 'ignored') return 'ignored';
  if (delivery.kind === 'changed') return `changed ${delivery.repository}`;
  return delivery.moves
    .map(({ repository, projectId, ref, before, after }) => {
      const [from = 'new', to = 'gone'] = [before, after].map((sha) => sha?.slice(0, 7));
      return `${repository} ${projectId} ${ref} ${from} → ${to}`;
    })
    .join('\n');
}

const filesIn = (name: string): string[] => readdirSync(join(folder, name)).map((file) => `${name}/${file}`);

describe.skipIf(folder === '')(
  `what forges sent${folder === '' ? ' (skipped: MODELHOOK_TEST_PAYLOADS names no folder)' : ''}`,
  () => {
    it('is all here', () => {
      const bodies = ['github', 'gitlab', 'gitea'].flatMap(filesIn);
      expect(BODIES.map(([file]) => file).toSorted()).toEqual(bodies.toSorted());
      const scenarios = filesIn('gitea-1.26').filter((file) => /\/\d/.test(file));
      expect(Object.keys(SCENARIOS).map((name) => `gitea-1.26/${name}.json`)).toEqual(scenarios.toSorted());
    });

    it.each(BODIES)('%s (%s) is read: %s', async (file, event, expected) => {
      const { webhooks, headers } = forgeOf(file.split('/')[0] ?? '');
      const body = readFileSync(join(folder, file));
      expect(told(await webhooks.receive(webhookRequest(headers(event, body), body)))).toBe(expected);
    });

    it.each(Object.entries(SCENARIOS))(
      '%s of Gitea 1.26 is taken with the headers it had',
      async (name, expected) => {
        const recorded: { headers: Record<string, string>; body: string }[] = JSON.parse(
          readFileSync(join(folder, 'gitea-1.26', `${name}.json`), 'utf8'),
        );
        const { webhooks } = forgeOf('gitea');
        const deliveries = await Promise.all(
          recorded.map(async ({ headers, body }) => webhooks.receive(webhookRequest(headers, body))),
        );
        expect(deliveries.map(told)).toEqual(expected);
        for (const { headers, body } of recorded) {
          const changed = webhookRequest(headers, `${body} `);
          await expect((async () => webhooks.receive(changed))()).rejects.toBeInstanceOf(WebhookError);
        }
      },
    );

    it('at a host that is no forge of ours is refused by each of them, however it is signed', async () => {
      for (const file of filesIn('huggingface')) {
        const body = readFileSync(join(folder, file));
        for (const { webhooks, headers } of Object.values(FORGES)) {
          const request = webhookRequest(headers('push', body), body);
          await expect((async () => webhooks.receive(request))()).rejects.toBeInstanceOf(WebhookError);
        }
      }
    });
  },
);
