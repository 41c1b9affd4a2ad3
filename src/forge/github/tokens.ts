/** Who we are on GitHub: a token, or an App whose installations have tokens of an hour. */
import { createPrivateKey } from 'node:crypto';
import { z } from 'zod';
import { messageOf } from '../../core/errors.ts';
import { type Answer, type Connection, type GitHubApp, wordsOf } from './connection.ts';

export type GitHubAuth = { token: string } | { app: GitHubApp } | null;

export interface Tokens {
  readonly kind: 'token' | 'app' | 'none';
  /**
   * @param path `<owner>/<repository>`, or an organisation
   * @returns the token for it; null: there is none
   */
  of(path: string): Promise<string | null>;
  /** Forgets the token for a repository or an organisation, which GitHub did not accept. */
  forget(path: string): void;
}

interface InstallationToken {
  token: string;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

/** How long a token must still be good for: a push over a slow line included. */
const MARGIN = 5 * 60_000;

const installationSchema = z.object({ id: z.number() });
const tokenSchema = z.object({ token: z.string().min(1), expires_at: z.string() });

/** @param forge its name in modelhook.yaml, for messages */
export function createTokens(
  forge: string,
  auth: GitHubAuth,
  connection: Connection,
  now: () => number,
): Tokens {
  if (auth === null) return { kind: 'none', of: async () => null, forget() {} };
  if ('token' in auth) return { kind: 'token', of: async () => auth.token, forget() {} };
  return createAppTokens(forge, connection, now);
}

/**
 * Checks an App's key before anything is signed with it, and makes it the one form octokit takes for sure.
 * @throws Error that does not repeat the key
 */
export function readPrivateKey(forge: string, { id, privateKey }: GitHubApp): GitHubApp {
  try {
    // In variables, line ends are often written as \n.
    const key = createPrivateKey(privateKey.replaceAll('\\n', '\n'));
    return { id, privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
  } catch (error) {
    throw new Error(
      `the private key of the GitHub App of forge "${forge}" cannot be read: ${messageOf(error)}; set app.privateKey to the .pem file that GitHub gave out`,
    );
  }
}

/**
 * The tokens of installations. octokit's own cache of them is not used: requests under way are shared there by the
 * installation's number alone, which two GitHubs have in common.
 */
function createAppTokens(forge: string, connection: Connection, now: () => number): Tokens {
  const installations = new Map<string, Promise<number>>();
  const tokens = new Map<number, Promise<InstallationToken>>();

  function installationOf(path: string): Promise<number> {
    return remembered(installations, path, async () => {
      const answer = await connection.askAsApp(installationRoute(path));
      if (answer.status === 404)
        throw new Error(
          `the GitHub App of forge "${forge}" is not installed on ${path}, or there is no such ${path.includes('/') ? 'repository' : 'organisation'}; install it there`,
        );
      return expect(answer, installationSchema).id;
    });
  }

  function newToken(installation: number): Promise<InstallationToken> {
    return remembered(tokens, installation, async () => {
      const answer = await connection.askAsApp(`POST /app/installations/${installation}/access_tokens`);
      // An App that was installed anew has another number.
      if (answer.status === 404) installations.clear();
      const { token, expires_at } = expect(answer, tokenSchema);
      return { token, expiresAt: Date.parse(expires_at) };
    });
  }

  function expect<Shape>({ status, data }: Answer, schema: z.ZodType<Shape>): Shape {
    if (status === 401)
      throw new Error(
        `GitHub does not accept the App of forge "${forge}"${wordsOf(data)}; check app.id, app.privateKey and this machine's clock`,
      );
    const parsed = schema.safeParse(data);
    if (status < 300 && parsed.success) return parsed.data;
    throw new Error(
      `GitHub gives the App of forge "${forge}" no token: it answered ${status}${wordsOf(data)}`,
    );
  }

  return {
    kind: 'app',
    async of(path) {
      const installation = await installationOf(path);
      const known = tokens.get(installation);
      const held = await (known ?? newToken(installation));
      if (held.expiresAt - now() > MARGIN) return held.token;
      // Of many that find it old, the first asks for the next.
      if (tokens.get(installation) === known) tokens.delete(installation);
      return (await newToken(installation)).token;
    },
    forget(path) {
      installations
        .get(path)
        ?.then((installation) => tokens.delete(installation))
        .catch(() => {});
      installations.delete(path);
    },
  };
}

/** @param path `<owner>/<repository>`, or an organisation */
export const installationRoute = (path: string): string =>
  `GET /${path.includes('/') ? 'repos' : 'orgs'}/${path}/installation`;

/** One question for many that ask at once; a failed one is not remembered. */
function remembered<Key, Value>(
  known: Map<Key, Promise<Value>>,
  key: Key,
  ask: () => Promise<Value>,
): Promise<Value> {
  const pending = known.get(key);
  if (pending) return pending;
  const asked = ask();
  known.set(key, asked);
  asked.catch(() => {
    if (known.get(key) === asked) known.delete(key);
  });
  return asked;
}
