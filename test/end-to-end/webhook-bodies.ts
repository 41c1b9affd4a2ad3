/** What forges send: one short delivery of each kind, with the names and types of the real ones. */

export type Kind = 'github' | 'gitlab' | 'gitea' | 'git';
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Delivery {
  kind: Kind;
  /** For messages: what it tells. */
  what: string;
  /** The headers that name the event; null: a forge that has none, or does not look. */
  event: string | null;
  body: Json;
}

export const PATH = 'ml/iris';
const ZERO = '0'.repeat(40);
const OLD = 'a1'.repeat(20);
const NEW = 'b2'.repeat(20);
const TAG_OBJECT = 'c3'.repeat(20);
const AT = '2026-03-01T10:00:00Z';

const person = { id: 7, login: 'ada', full_name: 'Ada', email: 'ada@example.com', type: 'User' };
const commit = {
  id: NEW,
  message: 'Train\n',
  timestamp: AT,
  url: 'https://forge.example.com/ml/iris/commit/b2',
  author: { name: 'Ada', email: 'ada@example.com', username: 'ada' },
  added: ['model.bin'],
  removed: [],
  modified: ['README.md'],
};

type Push = readonly [what: string, ref: string, before: string, after: string];
const PUSHES: readonly Push[] = [
  ['a branch is pushed to', 'refs/heads/main', OLD, NEW],
  ['a branch is created', 'refs/heads/feature/x', ZERO, NEW],
  ['a branch is deleted', 'refs/heads/feature/x', OLD, ZERO],
  ['a tag is created', 'refs/tags/v1.0.0', ZERO, NEW],
  ['an annotated tag is created', 'refs/tags/v1.1.0', ZERO, TAG_OBJECT],
  ['a tag is moved', 'refs/tags/v1.0.0', OLD, NEW],
  ['a tag is deleted', 'refs/tags/v1.0.0', OLD, ZERO],
  ['a test delivery', 'refs/heads/main', NEW, NEW],
];

// GitHub, and Gitea, which is like it.

const repository: Json = {
  id: 4711,
  node_id: 'R_kgDO',
  name: 'iris',
  full_name: PATH,
  private: true,
  fork: false,
  archived: false,
  empty: false,
  owner: { ...person, login: 'ml', name: 'ml' },
  html_url: 'https://forge.example.com/ml/iris',
  url: 'https://forge.example.com/api/repos/ml/iris',
  clone_url: 'https://forge.example.com/ml/iris.git',
  ssh_url: 'git@forge.example.com:ml/iris.git',
  size: 108,
  stars_count: 0,
  default_branch: 'main',
  created_at: 1_700_000_000,
  topics: ['models'],
};
const end = (ref: string, sha: string): Json => ({
  label: `ml:${ref}`,
  ref,
  sha,
  user: person,
  repo: repository,
});
const pullRequest = (merged: boolean): Json => ({
  id: 91,
  number: 12,
  state: merged ? 'closed' : 'open',
  title: 'Deploy iris',
  body: null,
  draft: false,
  user: person,
  labels: [],
  head: end('modelhook/iris', NEW),
  base: end('main', OLD),
  merged,
  merged_at: merged ? AT : null,
  merge_commit_sha: merged ? NEW : null,
  mergeable: true,
  html_url: 'https://forge.example.com/ml/iris/pull/12',
});
const issue: Json = {
  id: 92,
  number: 12,
  title: 'Deploy iris',
  state: 'open',
  user: person,
  labels: [],
  pull_request: { merged: false, merged_at: null, html_url: 'https://forge.example.com/ml/iris/pull/12' },
};
const comment: Json = { id: 93, body: 'Looks right.', user: person, created_at: AT, updated_at: AT };

const common = { repository, sender: person };
const requests = (event: string, actions: readonly string[]) =>
  actions.map((action) => {
    const merged = action === 'closed';
    const body: Json = {
      action,
      number: 12,
      pull_request: pullRequest(merged),
      before: OLD,
      after: NEW,
      ...common,
    };
    return { what: `a pull request: ${action}`, event, body };
  });
const comments = ['created', 'edited', 'deleted'].map((action) => ({
  what: `a comment: ${action}`,
  event: 'issue_comment',
  body: { action, issue, comment, is_pull: true, ...common } as Json,
}));
const created = [
  { what: 'create of a tag', event: 'create', ref: 'v1.0.0', ref_type: 'tag', sha: TAG_OBJECT },
  { what: 'create of a branch', event: 'create', ref: 'feature/x', ref_type: 'branch', sha: NEW },
  { what: 'delete of a tag', event: 'delete', ref: 'v1.0.0', ref_type: 'tag' },
  { what: 'delete of a branch', event: 'delete', ref: 'feature/x', ref_type: 'branch' },
].map(({ what, event, ...told }) => ({
  what,
  event,
  body: {
    ...told,
    master_branch: 'main',
    default_branch: 'main',
    description: null,
    pusher_type: 'user',
    ...common,
  },
}));
const changes = (event: string, actions: readonly string[]) =>
  actions.map((action) => ({
    what: `a repository: ${action}`,
    event,
    body: {
      action,
      changes: { repository: { name: { from: 'flower' } }, owner: { from: { user: person } } },
      ...common,
    } as Json,
  }));

const GITHUB = [
  ...PUSHES.map(([what, ref, before, after]) => ({
    what,
    event: 'push',
    body: {
      ref,
      before,
      after,
      created: before === ZERO,
      deleted: after === ZERO,
      forced: false,
      base_ref: null,
      compare: 'https://forge.example.com/ml/iris/compare/a1...b2',
      commits: [commit],
      head_commit: after === ZERO ? null : { ...commit, tree_id: OLD, distinct: true },
      pusher: { name: 'ada', email: 'ada@example.com' },
      installation: { id: 31 },
      ...common,
    },
  })),
  ...created,
  ...requests('pull_request', ['opened', 'synchronize', 'reopened', 'edited', 'labeled', 'closed']),
  ...comments,
  ...changes('repository', ['renamed', 'transferred', 'archived', 'deleted', 'edited']),
  {
    what: 'a ping',
    event: 'ping',
    body: {
      zen: 'Half measures are as bad as nothing at all.',
      hook_id: 109,
      hook: { id: 109, active: true, events: ['*'] },
      ...common,
    },
  },
  {
    what: 'an App is installed',
    event: 'installation',
    body: { action: 'created', installation: { id: 31 }, repositories: [repository], sender: person },
  },
];

const GITEA = [
  ...PUSHES.map(([what, ref, before, after]) => ({
    what,
    event: 'push',
    body: {
      ref,
      before: ref.startsWith('refs/tags/') && after !== ZERO ? ZERO : before,
      after,
      compare_url: 'https://forge.example.com/ml/iris/compare/a1...b2',
      commits: [commit],
      total_commits: 1,
      head_commit: after === ZERO ? null : { ...commit, verification: null },
      pusher: person,
      ...common,
    },
  })),
  ...created,
  ...requests('pull_request', ['opened', 'synchronized', 'reopened', 'edited', 'label_updated', 'closed']),
  ...comments,
  ...changes('repository', ['created', 'deleted']),
];

// GitLab.

const project: Json = {
  id: 42,
  name: 'Iris',
  description: '',
  web_url: 'https://gitlab.example.com/ml/iris',
  avatar_url: null,
  git_ssh_url: 'git@gitlab.example.com:ml/iris.git',
  git_http_url: 'https://gitlab.example.com/ml/iris.git',
  namespace: 'ml',
  visibility_level: 0,
  path_with_namespace: PATH,
  default_branch: 'main',
  ci_config_path: null,
};
const user = { id: 7, name: 'Ada', username: 'ada', avatar_url: null, email: '[REDACTED]' };
const mergeRequest = (action: string): Json => ({
  id: 66,
  iid: 12,
  action,
  state: action === 'merge' ? 'merged' : action === 'close' ? 'closed' : 'opened',
  title: 'Deploy iris',
  description: null,
  source_branch: 'modelhook/iris',
  target_branch: 'main',
  source_project_id: 42,
  target_project_id: 42,
  source: project,
  target: project,
  last_commit: {
    id: NEW,
    message: 'Train',
    timestamp: AT,
    url: 'https://gitlab.example.com',
    author: { name: 'Ada', email: '' },
  },
  merge_commit_sha: action === 'merge' ? NEW : null,
  oldrev: OLD,
  work_in_progress: false,
  url: 'https://gitlab.example.com/ml/iris/-/merge_requests/12',
});
const pushed = ([what, ref, before, after]: Push, of: object) => {
  const name = ref.startsWith('refs/tags/') ? 'tag_push' : 'push';
  return {
    what,
    body: {
      ...of,
      event_name: name,
      before,
      after,
      ref,
      ref_protected: true,
      checkout_sha: after === ZERO ? null : NEW,
      message: null,
      user_id: 7,
      user_username: 'ada',
      user_email: '[REDACTED]',
      project_id: 42,
      project,
      commits: [commit],
      total_commits_count: 1,
      push_options: { ci: { skip: true } },
    } as Json,
  };
};
const renamed = {
  created_at: AT,
  updated_at: AT,
  name: 'Iris',
  path: 'iris',
  path_with_namespace: PATH,
  old_path_with_namespace: 'ml/flower',
  project_id: 42,
  owner_name: 'ml',
  owners: [{ name: 'Ada', email: 'ada@example.com' }],
  project_visibility: 'private',
};
const GITLAB: { what: string; event: string; body: Json }[] = [
  ...PUSHES.map((push) => {
    const isTag = push[1].startsWith('refs/tags/');
    const { what, body } = pushed(push, { object_kind: isTag ? 'tag_push' : 'push' });
    return { what, event: isTag ? 'Tag Push Hook' : 'Push Hook', body };
  }),
  ...PUSHES.map((push) => ({ ...pushed(push, {}), what: `system hook: ${push[0]}`, event: 'System Hook' })),
  ...['open', 'update', 'reopen', 'close', 'merge', 'approved', 'unapproved'].map((action) => ({
    what: `a merge request: ${action}`,
    event: 'Merge Request Hook',
    body: {
      object_kind: 'merge_request',
      event_type: 'merge_request',
      user,
      project,
      object_attributes: mergeRequest(action),
      labels: [],
      changes: { title: { previous: 'Deploy', current: 'Deploy iris' } },
    } as Json,
  })),
  {
    what: 'a note',
    event: 'Note Hook',
    body: {
      object_kind: 'note',
      user,
      project_id: 42,
      project,
      object_attributes: {
        id: 1244,
        note: 'Looks right.',
        noteable_type: 'MergeRequest',
        action: 'create',
        system: false,
      },
      merge_request: mergeRequest('update'),
    },
  },
  ...['project_rename', 'project_transfer', 'project_destroy', 'project_create'].map((event_name) => ({
    what: `system hook: ${event_name}`,
    event: 'System Hook',
    body: { event_name, ...renamed },
  })),
  {
    what: 'system hook: repository_update',
    event: 'System Hook',
    body: {
      event_name: 'repository_update',
      user_id: 7,
      project_id: 42,
      project,
      changes: [{ before: OLD, after: NEW, ref: 'refs/heads/main' }],
      refs: ['refs/heads/main'],
    },
  },
  {
    what: 'system hook: group_rename',
    event: 'System Hook',
    body: {
      event_name: 'group_rename',
      group_id: 64,
      path: 'ml',
      full_path: 'ml',
      old_path: 'models',
      old_full_path: 'models',
    },
  },
];

const GIT = [...PUSHES, ['a note is pushed', 'refs/notes/modelhook', OLD, NEW] as const].map(
  ([what, ref, before, after]) => ({
    what,
    event: null,
    body: { repository: `${PATH}.git`, before, after, ref },
  }),
);

/** All of them. */
export const DELIVERIES: readonly Delivery[] = [
  ...GITHUB.map((each) => ({ kind: 'github' as const, ...each })),
  ...GITEA.map((each) => ({ kind: 'gitea' as const, ...each })),
  ...GITLAB.map((each) => ({ kind: 'gitlab' as const, ...each })),
  ...GIT.map((each) => ({ kind: 'git' as const, ...each })),
];
