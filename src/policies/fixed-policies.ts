/** Policies that stay as they are: those of a folder on this machine. */
import type { PolicySet } from '../core/policy.ts';
import type { PolicySource } from './policies.ts';

/** @param repository what stands for the config repository in messages */
export const createFixedPolicies = (policies: PolicySet, repository: string): PolicySource => ({
  current: () => policies,
  status: () => ({
    repository,
    branch: '',
    inForce: policies.revision,
    head: policies.revision,
    faults: [],
    unreachable: null,
  }),
  refresh: async () => {},
});
