/** Sends mutated deliveries to a real controller, one after the other, and checks each answer and what was stored. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { expect } from 'vitest';
import { type ControllerSite, freePort, makeControllerSite } from '../controller-site.ts';
import { type Attempt, attemptOf, type Mutation, mutation, UNSIGNED } from './webhook-mutations.ts';
import { SECRETS } from './webhook-signing.ts';

export interface Survived {
  /** How many were answered with each status. */
  answers: Map<number, number>;
  /** How many events they made. */
  events: number;
  /** Deliveries a second. */
  rate: number;
}

interface StoredEvent {
  seq: number;
  id: string;
  repository: string;
  ref: string;
  before: string | null;
  sha: string | null;
}

const LARGEST_ANSWER = 8 * 1024;

/**
 * @param options.seed repeats a run
 * @throws Error that names the seed and the delivery, made as small as it can be
 */
export async function surviveMutations({ count, seed }: { count: number; seed: number }): Promise<Survived> {
  const site = await makeSite();
  const agent = new Agent({ keepAlive: true });
  try {
    const controller = await site.start();
    const database = new DatabaseSync(join(site.root, 'data/modelhook.db'), { readOnly: true });
    const checker = createChecker(site, controller, database, agent);
    const began = performance.now();
    await fc.assert(fc.asyncProperty(mutation, checker.check), { numRuns: count, seed, endOnFailure: false });
    const rate = count / ((performance.now() - began) / 1000);
    const events = checker.finish();
    database.close();
    return { answers: checker.answers, events, rate };
  } finally {
    agent.destroy();
    await site.remove();
  }
}

/** A site with all kinds of forges. Those with an API are not there, so what is believed of their payloads shows. */
async function makeSite(): Promise<ControllerSite> {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  const secrets = (...names: string[]) => names.map((name) => ({ file: `./${name}.secret` }));
  const site = await makeControllerSite({
    config: {
      forges: {
        github: { kind: 'github', url: nobody, webhookSecrets: secrets('github') },
        gitlab: { kind: 'gitlab', url: nobody, webhookSecrets: secrets('gitlab', 'signing') },
        gitea: { kind: 'gitea', url: nobody, webhookSecrets: secrets('gitea') },
        forgejo: { kind: 'gitea', url: nobody, webhookSecrets: secrets('forgejo') },
        plain: { kind: 'git', url: './git', webhookSecrets: secrets('plain') },
      },
    },
  });
  for (const [name, secret] of Object.entries(SECRETS))
    writeFileSync(join(site.root, `${name}.secret`), secret);
  await site.makeModels(['ml/iris']);
  await site.tag('ml/iris', 'v1.0.0');
  return site;
}

function createChecker(site: ControllerSite, controller: ChildProcess, database: DatabaseSync, agent: Agent) {
  const answers = new Map<number, number>();
  const refs = new Set<string>();
  const latest = database.prepare('SELECT coalesce(max(seq), 0) AS seq FROM events');
  const since = database.prepare("SELECT * FROM events WHERE seq > ? AND source = 'webhook' ORDER BY seq");
  const known = database.prepare('SELECT count(*) AS n FROM repositories');
  let sent = 0;
  let events = 0;

  async function check(mutated: Mutation): Promise<void> {
    sent += 1;
    const attempt = attemptOf(mutated, `delivery-${sent}`);
    const before = Number(latest.get()?.['seq']);
    const repositories = known.get()?.['n'];
    const answer = await send(site.url, attempt, agent);
    answers.set(answer.status, (answers.get(answer.status) ?? 0) + 1);
    expect(attempt.expected, `${answer.status}: ${answer.body}`).toContain(answer.status);
    checkAnswer(answer);
    expect([controller.exitCode, controller.signalCode], 'the controller has ended').toEqual([null, null]);
    const stored = since.all(before) as unknown as StoredEvent[];
    events += stored.length;
    if (answer.status >= 400) {
      expect(stored, 'what was refused is stored').toEqual([]);
      expect(known.get()?.['n'], 'what was refused is known').toBe(repositories);
    }
    for (const event of stored) {
      checkEvent(event, attempt);
      refs.add(event.ref);
    }
    if (sent % 100 === 0) expect((await fetch(`${site.url}/healthz`)).status).toBe(200);
  }

  return {
    check,
    answers,
    /** What can be checked only at the end. @returns how many events were made */
    finish(): number {
      // Git is asked itself, for as many as there is time for.
      for (const ref of [...refs].slice(0, 300)) execFileSync('git', ['check-ref-format', ref]);
      expect(rowsThatHold(database, UNSIGNED)).toEqual([]);
      for (const { id } of database.prepare('SELECT id FROM repositories').all())
        checkRepository(String(id), String(id).split(':')[0] ?? '');
      return events;
    },
  };
}

interface Answer {
  status: number;
  type: string;
  body: string;
}

async function send(url: string, { path, headers, body }: Attempt, agent: Agent): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { port } = new URL(url);
  const lengths = { 'content-length': body.length };
  const options = { agent, port, path, method: 'POST', headers: { ...headers, ...lengths } };
  const outgoing = request(options, (incoming) => {
    const { statusCode: status = 0, headers: received } = incoming;
    const type = received['content-type'] ?? '';
    text(incoming).then((answer) => resolve({ status, type, body: answer }), reject);
  });
  outgoing.once('error', reject);
  outgoing.end(body);
  return promise;
}

function checkAnswer({ status, type, body }: Answer): void {
  expect(body.length, 'the answer repeats too much of what it was sent').toBeLessThan(LARGEST_ANSWER);
  const json = JSON.parse(body) as Record<string, unknown>;
  if (status < 300) {
    const told = { ignored: expect.stringMatching(/\w+ \w+/) };
    const stored = { eventId: expect.any(String), url: expect.any(String) };
    expect(json).toEqual(status === 200 ? told : stored);
    return;
  }
  expect(type).toBe('application/problem+json');
  expect(json).toEqual({
    type: 'about:blank',
    title: expect.any(String),
    status,
    detail: expect.stringMatching(/(?:\S+ ){3}\S/),
  });
  expect(json['detail']).not.toMatch(/\bundefined\b|\[object |\n|Error: |\.ts:\d+/);
}

function checkEvent({ repository, ref, sha, before }: StoredEvent, { forge, isSigned }: Attempt): void {
  expect(isSigned).toBe(true);
  checkRepository(repository, forge);
  expect(ref).toMatch(/^refs\/(?:heads|tags)\/[^-]/);
  expect(ref.isWellFormed()).toBe(true);
  for (const commit of [sha, before])
    expect(commit ?? 'a'.repeat(40)).toMatch(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/);
}

function checkRepository(repository: string, forge: string): void {
  expect(Object.keys(SECRETS)).toContain(forge);
  const path = repository.slice(forge.length + 1);
  expect(repository).toBe(`${forge}:${path}`);
  expect(path).not.toMatch(/^$|[\p{Cc}\p{Cs}]|\.\.|(?:^|\/)(?:-|$|\/|\.(?:\/|$))/u);
}

/** @returns the rows of any table in which a text stands */
function rowsThatHold(database: DatabaseSync, wanted: string): unknown[] {
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return tables
    .flatMap(({ name }) => database.prepare(`SELECT * FROM "${name}"`).all())
    .filter((row) => JSON.stringify(row).includes(wanted));
}
