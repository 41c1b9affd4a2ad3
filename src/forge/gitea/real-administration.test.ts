import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { giteaAccess, RealGitea, type RealRepository } from '../../../test/forges/real-gitea.ts';
import { startWebhookServer, type WebhookServer } from '../../../test/webhook-server.ts';
import { StalledError } from '../../core/errors.ts';
import { webhookRequest } from '../contract.ts';
import type { Forge, ForgeAdministration, RepositoryUse, WebhookDelivery } from '../forge.ts';
import { createGiteaForge } from './gitea-forge.ts';

const access = giteaAccess();
const SECRET = 'a webhook secret: äöü';

/** What the forge itself makes of webhooks, tokens and pages, which a stand-in can only repeat. */
describe.skipIf(!access)(
  `the administration of a real Gitea${access ? '' : ' (skipped: MODELHOOK_TEST_GITEA names none)'}`,
  () => {
    let gitea: RealGitea;
    let model: RealRepository;
    let repository: string;
    let first: string;
    let server: WebhookServer;
    const tokens = new Map<string, string>();

    const forgeWith = (token: string | null, url = access?.url ?? ''): Forge =>
      createGiteaForge({
        name: 'gitea',
        url,
        apiUrl: `${url}/api/v1`,
        token,
        webhookSecrets: [SECRET],
        ca: null,
        now: Date.now,
      });
    const tokenOf = (who: string): string => tokens.get(who) ?? '';
    const administrationOf = (who: string): ForgeAdministration => {
      const { administration } = forgeWith(tokenOf(who));
      if (!administration) throw new Error('Gitea has an API');
      return administration;
    };

    beforeAll(async () => {
      if (!access) return;
      gitea = new RealGitea(access);
      model = await gitea.create();
      server = await startWebhookServer();
      repository = `gitea:${model.path}`;
      const make = async (who: string, scopes: string[], permission?: string) => {
        const user = `${who}-${model.owner}`;
        tokens.set(who, await gitea.tokenOf(user, scopes));
        if (permission) await gitea.api('PUT', `/repos/${model.path}/collaborators/${user}`, { permission });
      };
      await make('admin', ['write:repository'], 'admin');
      await make('owner', ['write:repository', 'write:organization', 'read:user']);
      await gitea.makeOwner(model.owner, `owner-${model.owner}`);
      await make('writer', ['write:repository', 'write:issue'], 'write');
      await make('reviewer', ['write:repository', 'write:issue', 'read:user'], 'write');
      await make('silent', ['write:repository'], 'write');
      await make('scopeless', ['read:repository'], 'write');
      await make('visitor', ['write:repository', 'write:issue', 'write:organization'], 'read');
      await make('stranger', ['write:repository']);
      await make('misfit', ['write:issue'], 'write');
      first = await model.commit('main', { 'README.md': '# Iris\n' });
      await model.untilNotEmpty();
    });
    afterAll(async () => {
      await server.close();
      await gitea.end();
      await model.end();
    });

    /** Waits for deliveries to a path, which are verified, until one is as it is wanted. */
    async function told(
      path: string,
      wanted: (delivery: WebhookDelivery) => boolean,
    ): Promise<WebhookDelivery> {
      const { webhooks } = forgeWith(null);
      for (;;) {
        const requests = server.received.slice();
        for (const { headers, body, path: to } of requests) {
          if (to !== path) continue;
          const delivery = await webhooks.receive(webhookRequest(headers as Record<string, string>, body));
          if (wanted(delivery)) return delivery;
        }
        await server.until(requests.length + 1);
      }
    }
    const tells = (ref: string, after: string | null) => (delivery: WebhookDelivery) =>
      delivery.kind === 'refs' && delivery.moves.some((move) => move.ref === ref && move.after === after);
    const changed = (reason: string) => (delivery: WebhookDelivery) =>
      delivery.kind === 'changed' && delivery.repository === repository && delivery.reason === reason;

    it.each(['repository', 'group'] as const)(
      'registers a webhook of a %s, whose deliveries arrive and verify, also after its secret was replaced',
      async (kind) => {
        const path = `/webhooks/${kind}`;
        const hook = { url: `${server.url}${path}`, secret: 'a former secret' };
        const scope = { kind, path: kind === 'group' ? model.owner : model.path };
        const administration = administrationOf(kind === 'group' ? 'owner' : 'admin');
        expect(await administration.registerWebhook(scope, hook)).toBe('created');
        expect(await administration.registerWebhook(scope, { ...hook, secret: SECRET })).toBe('updated');
        const uses: RepositoryUse[] = [{ repository, use: 'model' }];
        expect(await administration.examine(uses, `${hook.url}/`)).toMatchObject([
          { about: 'API', state: 'good', message: expect.stringMatching(/^Gitea 1\.\d+/) },
          { about: 'token', state: 'good' },
          { about: repository, state: 'good' },
          { about: repository, state: 'good' },
        ]);
        const head = `change-${kind}`;
        await model.point(`refs/tags/v-${kind}`, first);
        await told(path, tells(`refs/tags/v-${kind}`, first));
        await model.branch(head);
        const { pullRequests } = forgeWith(tokenOf('writer'));
        const draft = { head, base: 'main', title: 'x', text: '' };
        const number = (await pullRequests?.open(repository, draft))?.number ?? 0;
        await told(path, changed(`pull request #${number} was opened`));
        await model.commit(head, { 'more.txt': 'x' });
        await told(path, changed(`pull request #${number} was synchronized`));
        await model.merge(number);
        await told(path, changed(`pull request #${number} was closed`));
        await model.remove(`refs/heads/${head}`);
        await told(path, tells(`refs/heads/${head}`, null));
        await model.remove(`refs/tags/v-${kind}`);
        await told(path, tells(`refs/tags/v-${kind}`, null));
      },
    );

    it.each([
      ['writer', 'repository', /\(user should be an owner.*write:repository, and its user administrator/],
      ['scopeless', 'repository', /required=\[write:repository\]|user should be an owner/],
      ['visitor', 'group', /\(Must be an organization owner\).*owners of the organisation/],
      ['writer', 'group', /required=\[read:organization\].*the scope write:organization/],
    ] as const)('refuses the %s a webhook of a %s for good', async (who, kind, message) => {
      const scope = { kind, path: kind === 'group' ? model.owner : model.path };
      const registering = administrationOf(who).registerWebhook(scope, { url: server.url, secret: SECRET });
      await expect(registering).rejects.toBeInstanceOf(StalledError);
      await expect(registering).rejects.toThrow(message);
    });

    it('has no organisation that is a user, or nobody', async () => {
      for (const path of [`admin-${model.owner}`, 'nobody-at-all']) {
        const scope = { kind: 'group', path } as const;
        const registering = administrationOf('owner').registerWebhook(scope, {
          url: server.url,
          secret: SECRET,
        });
        await expect(registering).rejects.toThrow(/shows the token no organisation/);
      }
    });

    it.each([
      ['writer', 'gitops', 'good', /^/],
      ['silent', 'gitops', 'warning', /required=\[write:issue\]/],
      ['scopeless', 'model', 'fault', /required=\[write:repository\], token scope=read:repository/],
      ['scopeless', 'policies', 'fault', /required=\[write:repository\]/],
      ['silent', 'policies', 'fault', /required=\[write:issue\]/],
      ['writer', 'policies', 'fault', /known to be ours .*required=\[read:user\]/],
      ['reviewer', 'policies', 'good', /^/],
      ['visitor', 'model', 'fault', /no write access/],
      ['stranger', 'policies', 'fault', /not there, or hidden/],
      ['misfit', 'policies', 'fault', /required=\[read:repository\]/],
    ] as const)('looked at with the token of the %s for %s is %s', async (who, use, state, message) => {
      const findings = await administrationOf(who).examine([{ repository, use }], null);
      expect(findings.at(-1)).toMatchObject({ state, message: expect.stringMatching(message) });
      expect(findings).toHaveLength(3);
    });

    it('says whose a token is where that may be read, of another which scopes it has, and of a wrong one that it is', async () => {
      const [, known] = await administrationOf('owner').examine([], null);
      expect(known?.message).toBe(`it is one of owner-${model.owner}`);
      const [, unknown] = await administrationOf('writer').examine([], null);
      expect(unknown).toMatchObject({ state: 'good', message: expect.stringContaining('write:repository') });
      tokens.set('nobody', 'no-token');
      const findings = await administrationOf('nobody').examine([{ repository, use: 'model' }], null);
      expect(findings).toMatchObject([{ state: 'good' }, { about: 'token', state: 'fault' }]);
    });

    it('hides webhooks from those who do not administer the repository', async () => {
      const findings = await administrationOf('writer').examine([{ repository, use: 'model' }], server.url);
      expect(findings.at(-1)).toMatchObject({
        state: 'warning',
        fix: expect.stringContaining('/settings/hooks'),
      });
    });

    it('finds a repository by its old name, and refuses what is archived', async () => {
      const old = repository;
      await model.rename('renamed');
      repository = `gitea:${model.path}`;
      const uses: RepositoryUse[] = [{ repository: old, use: 'model' }];
      expect((await administrationOf('writer').examine(uses, null)).slice(2)).toMatchObject([
        { about: old, state: 'warning', message: `it is ${repository} now` },
        { about: repository, state: 'good' },
      ]);
      const { pullRequests } = forgeWith(tokenOf('writer'));
      await model.branch('late');
      const draft = { head: 'late', base: 'main', title: 'x', text: '' };
      const number = (await pullRequests?.open(old, draft))?.number ?? 0;
      await pullRequests?.comment(old, number, 'Found.');
      await gitea.api('PATCH', `/repos/${model.path}`, { archived: true });
      await expect(pullRequests?.comment(old, number, 'x')).rejects.toThrow(/is archived/);
      await expect(pullRequests?.open(old, draft)).rejects.toBeInstanceOf(StalledError);
      expect((await administrationOf('writer').examine(uses, null)).at(-1)).toMatchObject({ state: 'fault' });
      await gitea.api('PATCH', `/repos/${model.path}`, { archived: false, has_pull_requests: false });
      await expect(pullRequests?.listOpen(old, '')).rejects.toThrow(/switched off/);
    });
  },
);
