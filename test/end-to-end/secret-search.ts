/** Looks for secrets in whatever a controller leaves behind, in the forms in which they get there. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** One place that was looked at. */
export interface Trace {
  where: string;
  bytes: Uint8Array;
}

export interface Leak {
  where: string;
  /** The secret's name, and the form it has there. */
  what: string;
}

/** The name Git gives for the one who asks, by forge. */
const USERS = ['modelhook', 'x-access-token'];
/** A part of a secret that is as long gives it away as well. */
const PART = 16;

/** @returns a secret in all its forms, by what they are called */
export function formsOf(secret: string): Record<string, string> {
  const encodings = { base64: 'base64', base64url: 'base64url', hex: 'hex' } as const;
  const forms: Record<string, string> = {
    raw: secret,
    'JSON string': JSON.stringify(secret).slice(1, -1),
    'JSON in JSON': JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1),
    'URL-encoded': encodeURIComponent(secret),
    'form-encoded': new URLSearchParams({ x: secret }).toString().slice(2),
    'HTML-escaped': secret.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`),
    beginning: secret.slice(0, PART),
    end: secret.slice(-PART),
  };
  for (const [name, encoding] of Object.entries(encodings))
    forms[name] = Buffer.from(secret).toString(encoding).replace(/=+$/, '');
  for (const user of USERS)
    forms[`Basic of ${user}`] = Buffer.from(`${user}:${secret}`).toString('base64').replace(/=+$/, '');
  return forms;
}

/** @param secrets by name */
export function findSecrets(secrets: ReadonlyMap<string, string>, traces: readonly Trace[]): Leak[] {
  const wanted = [...secrets].flatMap(([name, secret]) =>
    Object.entries(formsOf(secret)).map(([form, text]) => ({ what: `${name}, ${form}`, text })),
  );
  return traces.flatMap(({ where, bytes }) => {
    const text = Buffer.from(bytes).toString('latin1');
    return wanted.filter((each) => text.includes(each.text)).map(({ what }) => ({ where, what }));
  });
}

/** All files in a folder, in all its folders; nothing where it is not there. */
export function filesIn(folder: string, except: RegExp = /^$/): Trace[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((file) => statSync(file).isFile() && !except.test(file))
    .map((file) => ({ where: file, bytes: readFileSync(file) }));
}
