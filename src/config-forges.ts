/** `forges` of modelhook.yaml: what each kind of forge takes. */
import { resolve } from 'node:path';
import { z } from 'zod';
import type { Secret } from './config-secret.ts';

/** Parts of the schema that depend on where the file is and what its secrets are read from. */
interface Parts {
  secret: z.ZodType<Secret>;
  webhookSecret: z.ZodType<Secret>;
  /** A file that Git, SSH or TLS opens itself: its path. */
  existingFile: z.ZodType<string>;
  folder: string;
}

/** Why the address of a Git server is refused. */
function urlFault(text: string, scheme: string): string | null {
  if (!['ssh', 'https', 'http', 'file'].includes(scheme))
    return `"${scheme}://" is not supported; use a path, ssh:// or https://`;
  if (!URL.canParse(text)) return 'is not an address';
  const { username, password } = new URL(text);
  if (password !== '') return 'holds a password; put it in token: { env: NAME } instead';
  // ssh has a user name there; for https it is where people put tokens.
  if (username !== '' && scheme !== 'ssh')
    return 'holds a user name; what lets us in goes into token: { env: NAME } instead';
  return null;
}

/** What would stand in the middle of every address that is made of it. */
const tailFault = (text: string): string | null =>
  /[?#\s]/.test(text) ? 'holds white space, "?" or "#"; write the base alone' : null;

/** The web base of a forge with an API, without a trailing slash. A path is allowed: /git on a shared host. */
const webBase = z.string().transform((text, context) => {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase() ?? '';
  const fault = ['http', 'https'].includes(scheme)
    ? (urlFault(text, scheme) ?? tailFault(text))
    : `"${text}" is no address; write it like https://git.example.com`;
  if (fault === null) return text.replace(/\/+$/, '');
  context.addIssue({ code: 'custom', message: fault });
  return z.NEVER;
});

/** Where the API is, as each forge has it below its web base. */
const API = {
  github: (url: string) => {
    const { host } = new URL(url);
    if (host === 'github.com' || host === 'www.github.com') return 'https://api.github.com';
    return host.endsWith('.ghe.com') ? `https://api.${host}` : `${url}/api/v3`;
  },
  gitlab: (url: string) => `${url}/api/v4`,
  gitea: (url: string) => `${url}/api/v1`,
};

/** @returns the schema of one forge, by its kind */
export function forgeSchema({ secret, webhookSecret, existingFile, folder }: Parts) {
  const plainGit = z
    .strictObject({
      kind: z.literal('git'),
      url: z
        .string()
        .min(1)
        .transform((text, context) => {
          const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
          // Git knows two more forms, host:path and ext::command: neither is a path somebody means.
          if (scheme === undefined && !/^[^/]*:/.test(text)) return resolve(folder, text);
          const fault =
            scheme === undefined
              ? 'is neither a path nor an address; write ssh://user@host/path'
              : urlFault(text, scheme.toLowerCase());
          if (fault === null) return text.replace(/\/+$/, '');
          context.addIssue({ code: 'custom', message: fault });
          return z.NEVER;
        }),
      token: secret.optional(),
      ssh: z.strictObject({ key: existingFile, knownHosts: existingFile }).optional(),
      ca: existingFile.optional(),
      webhookSecrets: z.array(webhookSecret).default([]),
    })
    .superRefine(({ url, token }, context) => {
      if (token === undefined || /^https?:/i.test(url)) return;
      const message = 'is for addresses that start with https://; ssh has keys, and a path needs nothing';
      context.addIssue({ code: 'custom', path: ['token'], message });
    });

  const common = {
    apiUrl: webBase.optional(),
    token: secret.optional(),
    ca: existingFile.optional(),
    webhookSecrets: z.array(webhookSecret).default([]),
  };
  const app = z.strictObject({
    id: z.union([z.string().min(1), z.int().transform(String)]),
    privateKey: secret,
  });
  const github = z
    .strictObject({
      kind: z.literal('github'),
      url: webBase.default('https://github.com'),
      app: app.optional(),
      ...common,
    })
    .superRefine(({ token, app: given }, context) => {
      if (token !== undefined && given !== undefined)
        context.addIssue({
          code: 'custom',
          path: ['app'],
          message: 'stands beside token; keep one of the two',
        });
    })
    .transform((forge) => ({ ...forge, apiUrl: forge.apiUrl ?? API.github(forge.url) }));
  const gitlab = z
    .strictObject({ kind: z.literal('gitlab'), url: webBase.default('https://gitlab.com'), ...common })
    .transform((forge) => ({ ...forge, apiUrl: forge.apiUrl ?? API.gitlab(forge.url) }));
  const gitea = z
    .strictObject({ kind: z.literal('gitea'), url: webBase, ...common })
    .transform((forge) => ({ ...forge, apiUrl: forge.apiUrl ?? API.gitea(forge.url) }));

  return z.discriminatedUnion('kind', [plainGit, github, gitlab, gitea], {
    error: ({ code }) => (code === 'invalid_union' ? 'kind must be git, github, gitlab or gitea' : undefined),
  });
}
