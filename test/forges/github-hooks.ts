/** Webhooks of the GitHub stand-in, of repositories and organisations: secrets are masked, duplicates refused. */
import { denied, type Grant, type Hook, invalid, notFound, type Page, type Reply } from './github-reply.ts';

export interface HookQuestion {
  hooks: Hook[];
  method: string;
  /** Below the repository or organisation. */
  rest: string;
  grant: Grant;
  body: Partial<Hook>;
  page: Page;
}

const shown = ({ deliveries: _, ...hook }: Hook) => ({
  type: 'Repository',
  name: 'web',
  ...hook,
  config: { ...hook.config, ...(hook.config.secret && { secret: '********' }) },
});

/** @returns null where the question is of something else */
export function answerHooks({ hooks, method, rest, grant, body, page }: HookQuestion): Reply | null {
  const asked = /^\/hooks(?:\/(?<id>\d+))?(?<below>\/deliveries)?$/.exec(rest)?.groups;
  if (!asked) return null;
  const { id, below } = asked;
  const refused = denied(grant, 'hooks');
  if (refused) return refused;
  const hook = hooks.find((each) => each.id === Number(id));
  if (id !== undefined && !hook) return notFound;
  if (method === 'GET' && !hook) return page(hooks.map(shown));
  if (method === 'GET' && hook) return below ? page(hook.deliveries) : { status: 200, body: shown(hook) };
  const url = body.config?.url ?? '';
  if (/\/\/localhost/.test(url))
    return invalid('Hook', `url is not supported because it isn't reachable over the public Internet`);
  if (hook) {
    Object.assign(hook, body);
    return { status: 200, body: shown(hook) };
  }
  if (hooks.some((each) => each.config.url === url))
    return invalid('Hook', 'Hook already exists on this repository');
  const { active = true, events = ['push'], config = { url } } = body;
  const made: Hook = { id: 9000 + hooks.length, active, events, config, deliveries: [] };
  hooks.push(made);
  return { status: 201, body: shown(made) };
}
