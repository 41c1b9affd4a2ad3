/** Webhooks of the stand-in for GitLab: of one project, one group, or the whole. */
import { message, notFound, type Reply } from './gitlab-reply.ts';

export interface Hook {
  id: number;
  url: string;
  /** Never shown. */
  token?: string;
  signing_token?: string;
  push_events: boolean;
  tag_push_events: boolean;
  merge_requests_events: boolean;
  enable_ssl_verification: boolean;
  push_events_branch_filter: string;
  custom_webhook_template: string | null;
  alert_status: string;
  disabled_until: string | null;
}

export class HookList {
  readonly all: Hook[] = [];
  /** Status codes of deliveries, the oldest first; null: this version does not tell them. */
  deliveries: string[] | null = [];
  /** Whether this version can sign. */
  canSign = true;
  #made = 0;

  /** Makes one by hand. */
  add(fields: Partial<Hook> & { url: string }): Hook {
    this.#made += 1;
    const hook: Hook = {
      id: this.#made,
      push_events: true,
      tag_push_events: false,
      merge_requests_events: false,
      enable_ssl_verification: true,
      push_events_branch_filter: '',
      custom_webhook_template: null,
      alert_status: 'executable',
      disabled_until: null,
      ...fields,
    };
    this.all.push(hook);
    return hook;
  }

  shown(): object[] {
    return this.all.map((hook) => this.#show(hook));
  }

  #show({ token: _, signing_token, ...hook }: Hook): object {
    return { ...hook, ...(this.canSign && { signing_token_present: Boolean(signing_token) }) };
  }

  /** @param rest below `hooks`; the whole list is the caller's to cut into pages */
  answer(method: string, rest: readonly string[], sent: Readonly<Record<string, unknown>>): Reply {
    const [number, what] = rest;
    if (number === undefined) return this.#write(null, sent);
    const hook = this.all.find(({ id }) => String(id) === number);
    if (!hook) return notFound('Hook');
    if (what === 'events' && method === 'GET' && this.deliveries)
      return {
        status: 200,
        body: this.deliveries
          .map((response_status, index) => ({ id: index + 1, response_status }))
          .toReversed(),
      };
    if (what === 'test' && method === 'POST') {
      Object.assign(hook, { alert_status: 'executable', disabled_until: null });
      return message(201, '201 Created');
    }
    if (what !== undefined) return message(404, '404 Not Found');
    return method === 'PUT' ? this.#write(hook, sent) : { status: 200, body: this.#show(hook) };
  }

  #write(before: Hook | null, sent: Readonly<Record<string, unknown>>): Reply {
    const { signing_token, ...fields } = sent;
    const { url } = fields;
    if (typeof url !== 'string') return message(400, 'url is missing');
    if (new URL(url).hostname.startsWith('10.'))
      return message(422, { url: ['is blocked: Requests to the local network are not allowed'] });
    const hook = before ?? this.add({ url, push_events: false });
    Object.assign(hook, fields, this.canSign && signing_token !== undefined && { signing_token });
    return { status: before ? 200 : 201, body: this.#show(hook) };
  }
}
