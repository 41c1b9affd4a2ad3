/** An App of the GitHub stand-in: its JSON Web Tokens, installations, their tokens, and its own webhook. */
import { createVerify, type KeyObject, randomUUID } from 'node:crypto';
import { type Grant, type Hook, notFound, type Reply, refusal } from './github-reply.ts';

/** A GitHub App, and the repositories and organisations that it is installed on. */
export interface App {
  id: string;
  key: KeyObject;
  installed: Map<string, number>;
  permissions?: Record<string, string>;
  suspended?: boolean;
  /** Its own webhook; null or absent: it has none. */
  hook?: Hook | null;
  now: () => number;
}

const notAnApp = refusal(401, 'A JSON web token could not be decoded');
const PERMISSIONS = { statuses: 'write' };

/**
 * @param path below the API @param tokens where those of installations are put
 * @returns null where the question is none that an App asks as itself
 */
export function answerApp(
  app: App | null,
  token: string | undefined,
  path: string,
  tokens: Map<string, Grant>,
): Reply | null {
  const named = /^\/(?:repos|orgs)\/(.*)\/installation$/.exec(path)?.[1];
  if (named === undefined && !/^\/app(?:\/|$)/.test(path)) return null;
  if (!app || !isApp(app, token)) return notAnApp;
  if (named !== undefined) {
    const id = app.installed.get(decodeURIComponent(named).toLowerCase());
    return id === undefined
      ? notFound
      : { status: 200, body: { id, permissions: app.permissions ?? PERMISSIONS } };
  }
  const installation = /^\/app\/installations\/(\d+)\/access_tokens$/.exec(path)?.[1];
  if (installation) return newToken(app, Number(installation), tokens);
  const installations = [...Map.groupBy(app.installed, ([, id]) => id)].map(([id, of]) => ({
    id,
    account: { login: of[0]?.[0].split('/')[0] },
    suspended_at: app.suspended ? new Date(app.now()).toISOString() : null,
  }));
  const answers: Record<string, unknown> = {
    '/app': { name: 'modelhook of ml', slug: 'modelhook-of-ml', events: app.hook?.events ?? [] },
    '/app/installations': installations,
    '/app/hook/config': app.hook?.config ?? { content_type: 'form', insecure_ssl: '0' },
    '/app/hook/deliveries': app.hook?.deliveries ?? [],
  };
  const body = answers[path];
  return body === undefined ? notFound : { status: 200, body };
}

/** Checks the signature of an App's JSON Web Token. */
function isApp(app: App, token: string | undefined): boolean {
  const [head, payload, signature] = token?.split('.') ?? [];
  if (!signature) return false;
  const { iss } = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString());
  const verify = createVerify('RSA-SHA256').update(`${head}.${payload}`);
  return iss === app.id && verify.verify(app.key, signature, 'base64url');
}

function newToken(app: App, installation: number, tokens: Map<string, Grant>): Reply {
  if (![...app.installed.values()].includes(installation)) return notFound;
  const made = `ghs_${randomUUID()}`;
  tokens.set(made, { reads: true, writes: true, installation });
  const expires_at = new Date(app.now() + 3_600_000).toISOString();
  return { status: 201, body: { token: made, expires_at, permissions: app.permissions ?? PERMISSIONS } };
}
