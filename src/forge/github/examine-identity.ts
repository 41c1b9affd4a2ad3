/** Who we are on GitHub: whose the token is, what it may do as far as it can be told, and how long it lives. */
import { z } from 'zod';
import { fault, good, warning } from '../findings.ts';
import type { Finding } from '../forge.ts';
import { shaped } from './api.ts';
import { type Answer, wordsOf } from './connection.ts';
import type { GitHubAdministrationOptions } from './look.ts';

const ABOUT = 'token';
const DAY = 86_400_000;
/** How long before its end a token is to be replaced. */
const MARGIN = 14 * DAY;

const userSchema = z.object({ login: z.string() });
const appSchema = z.object({ name: z.string() });
const installationsSchema = z.array(
  z.object({
    account: z.object({ login: z.string().optional() }).nullish(),
    suspended_at: z.string().nullish(),
  }),
);

export async function examineToken(options: GitHubAdministrationOptions): Promise<Finding[]> {
  const { forge, api, connection, tokens, now } = options;
  if (api.auth === 'none')
    return [
      fault(
        ABOUT,
        `forge "${forge}" has no token, so it reads what everybody may read and writes nothing`,
        'give it a token or an App in modelhook.yaml',
      ),
    ];
  const answer = await connection.ask('GET /user', { token: await tokens.of('') });
  if (answer.status === 401)
    return [fault(ABOUT, `GitHub does not accept the token${wordsOf(answer.data)}`, 'make another one')];
  // The token of an installation is nobody's, such as that of a workflow.
  if (answer.status === 403)
    return [
      warning(
        ABOUT,
        "the token is an installation's, which ends within hours",
        'use a fine-grained token, or give modelhook the App itself',
      ),
    ];
  if (answer.status !== 200)
    return [
      fault(
        ABOUT,
        `GitHub answers ${answer.status} to who we are${wordsOf(answer.data)}`,
        'look again later',
      ),
    ];
  const { login } = shaped(userSchema, answer.data);
  return [kindOf(login, answer), ...endOf(answer, now())];
}

/** Classic tokens alone have scopes, which come with every answer. */
function kindOf(login: string, { headers }: Answer): Finding {
  const scopes = headers['x-oauth-scopes'];
  if (scopes === undefined)
    return good(
      ABOUT,
      `it is a fine-grained token of ${login}; what it may do is looked at in each repository`,
    );
  const all = String(scopes)
    .split(',')
    .map((scope) => scope.trim())
    .filter((scope) => scope !== '');
  const message = `it is a classic token of ${login} with ${all.length === 0 ? 'no scope' : `the scopes ${all.join(', ')}`}`;
  return all.includes('repo')
    ? good(ABOUT, message)
    : warning(ABOUT, message, 'give it the scope "repo", which private repositories need');
}

/** @param now milliseconds since the epoch */
function endOf({ headers }: Answer, now: number): Finding[] {
  const said = headers['github-authentication-token-expiration'];
  // Such as `2026-03-01 12:00:00 UTC` or `… +0000`.
  const end = Date.parse(String(said ?? ''));
  if (Number.isNaN(end)) return [];
  const days = Math.floor((end - now) / DAY);
  const message = `it ends on ${new Date(end).toISOString().slice(0, 10)}, in ${days} days`;
  return end - now < MARGIN
    ? [warning(ABOUT, message, 'make another one, and restart modelhook with it')]
    : [good(ABOUT, message)];
}

export async function examineApp({ connection }: GitHubAdministrationOptions): Promise<Finding[]> {
  const app = await connection.askAsApp('GET /app');
  if (app.status !== 200)
    return [
      fault(
        ABOUT,
        `GitHub does not accept the App${wordsOf(app.data)}`,
        "check app.id, app.privateKey and this machine's clock",
      ),
    ];
  const { name } = shaped(appSchema, app.data);
  const list = await connection.askAsApp('GET /app/installations?per_page=100');
  if (list.status !== 200)
    return [
      warning(ABOUT, `GitHub answers ${list.status} to where the App is installed`, 'look again later'),
    ];
  const installations = shaped(installationsSchema, list.data);
  if (installations.length === 0)
    return [fault(ABOUT, `the GitHub App ${name} is installed nowhere`, 'install it on the repositories')];
  const nameOf = ({ account }: (typeof installations)[number]) => account?.login ?? 'an enterprise';
  const suspended = installations.filter(({ suspended_at }) => suspended_at != null);
  return [
    good(ABOUT, `it is the GitHub App ${name}, installed on ${namesOf(installations.map(nameOf), list)}`),
    ...suspended.map((each) =>
      fault(
        ABOUT,
        `its installation on ${nameOf(each)} is suspended`,
        'take that back in the settings there',
      ),
    ),
  ];
}

const namesOf = (names: readonly string[], { next }: Answer): string =>
  `${names.slice(0, 10).join(', ')}${names.length > 10 || next !== null ? ' and others' : ''}`;
