/** What the person who pushed reads on the model commit (specification section 8). */
import { isFinal, type Rollout, statusContext } from './rollout.ts';

/** Forge-neutral: each forge maps it to the words its API knows. */
export type StatusState = 'pending' | 'running' | 'success' | 'failed' | 'superseded' | 'cancelled';

export interface CommitStatus {
  /** `modelhook/<environment>` */
  context: string;
  state: StatusState;
  /** One line, untruncated: each forge cuts it to its own limit. */
  description: string;
  /** The rollout's page. */
  url: string;
}

/** @returns the state that stands for where a rollout is now */
function stateOf(rollout: Pick<Rollout, 'phase' | 'stage'>): StatusState {
  switch (rollout.phase) {
    case 'pending':
      return 'pending';
    case 'delivered':
      return isFinal(rollout) ? 'success' : 'running';
    case 'ready':
      return 'success';
    default:
      return rollout.phase;
  }
}

/**
 * The status a rollout's commit should carry now: a pure function of the stored row, so what was not sent yet is
 * simply replaced by what is true when it can be sent.
 * @param publicUrl the base of links, without a trailing slash
 */
export function commitStatusOf(rollout: Rollout, publicUrl: string): CommitStatus {
  return {
    context: statusContext(rollout.environment),
    state: stateOf(rollout),
    description: oneLine(rollout.message),
    url: `${publicUrl}/rollouts/${rollout.id}`,
  };
}

/** Cuts to a forge's limit, at a whole character, with an ellipsis that says so. */
export function truncate(text: string, limit: number): string {
  const characters = Array.from(text);
  return characters.length <= limit
    ? text
    : `${characters
        .slice(0, limit - 1)
        .join('')
        .trimEnd()}…`;
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();
