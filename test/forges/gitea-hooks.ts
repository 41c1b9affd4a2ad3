/** Webhooks of the stand-in for Gitea: of a repository, or of an organisation. */
import { NOT_FOUND, Refusal } from './gitea-refusal.ts';

export interface HookForm {
  type?: string;
  active?: boolean;
  events?: string[];
  branch_filter?: string;
  authorization_header?: string;
  config?: { url?: string; content_type?: string; secret?: string };
}

interface Kept {
  id: number;
  type: string;
  active: boolean;
  events: string[];
  branch_filter: string;
  authorization_header: string;
  config: { url: string; content_type: string };
  secret: string;
}

/** All that `pull_request` stands for, which the API takes apart. */
const OF_PULL_REQUESTS = [
  'pull_request',
  'pull_request_assign',
  'pull_request_label',
  'pull_request_milestone',
  'pull_request_comment',
  'pull_request_review',
  'pull_request_review_request',
  'pull_request_sync',
];

export class HookList {
  readonly kept: Kept[] = [];
  #made = 0;

  /** Without the secrets. */
  list(): unknown[] {
    return this.kept.map(shown);
  }

  add(form: HookForm): unknown {
    const { url = '', content_type = '', secret = '' } = form.config ?? {};
    if (!form.type) throw new Refusal(422, '[Type]: Required');
    if (!/^https?:\/\//.test(url)) throw new Refusal(422, 'Invalid url');
    if (!['json', 'form'].includes(content_type)) throw new Refusal(422, 'Invalid content type');
    this.#made += 1;
    const hook: Kept = {
      id: this.#made,
      type: form.type,
      active: form.active ?? false,
      events: expanded(form.events),
      branch_filter: form.branch_filter ?? '',
      authorization_header: form.authorization_header ?? '',
      config: { url, content_type },
      secret,
    };
    this.kept.push(hook);
    return shown(hook);
  }

  /** The secret stays, whatever is said. */
  edit(id: number, form: HookForm): unknown {
    const hook = this.#find(id);
    const { url = hook.config.url, content_type = hook.config.content_type } = form.config ?? {};
    Object.assign(hook, {
      config: { url, content_type },
      events: expanded(form.events),
      branch_filter: form.branch_filter ?? '',
      authorization_header: form.authorization_header ?? '',
      active: form.active ?? hook.active,
    });
    return shown(hook);
  }

  remove(id: number): null {
    this.kept.splice(this.kept.indexOf(this.#find(id)), 1);
    return null;
  }

  #find(id: number): Kept {
    const found = this.kept.find((each) => each.id === id);
    if (!found) throw NOT_FOUND;
    return found;
  }
}

const expanded = (events: readonly string[] = []): string[] => {
  const all = events.flatMap((event) => {
    if (event === 'pull_request') return OF_PULL_REQUESTS;
    return event === 'pull_request_only' ? ['pull_request'] : [event];
  });
  // Without any it is for pushes.
  return all.length > 0 ? [...new Set(all)] : ['push'];
};

const shown = ({ secret: _, ...hook }: Kept): unknown => hook;
