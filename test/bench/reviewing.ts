/** How long a request waits for its status and its comment that changes the GPU profile of 500 deployed targets. */
import { POLICY, until } from '../controller-site.ts';
import { standInGitHub } from '../end-to-end/reviews-forges.ts';
import { makeReviewSite, propose } from '../end-to-end/reviews-site.ts';

const TARGETS = 500;
const CLIENTS = 20;
/** What people were promised. */
const BOUND = 10;

const profile = (cores: number): string => `apiVersion: modelhook.dev/v1alpha1
kind: GpuProfile
metadata: { name: shared }
spec:
  resources: { nvidia.com/gpualloc: 1, nvidia.com/gpucores: ${cores}, nvidia.com/gpumem: 4096 }
`;
const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`;

/** Prints a line for a request that restarts everything, and one for what the merge then takes. */
export async function measureReviewing(say: (text: string) => void): Promise<void> {
  const forge = await standInGitHub();
  const models = Array.from({ length: TARGETS }, (_, index) => `ml/model-${index}`);
  const policies = {
    'policies/production.yaml': `${POLICY}  gpuProfile: shared\n`,
    'policies/gpus.yaml': profile(50),
  };
  const site = await makeReviewSite({ policies, models, forge });
  try {
    await site.start();
    const queue = [...models];
    const client = async () => {
      for (let path = queue.pop(); path !== undefined; path = queue.pop())
        await site.site.deliver(path, 'refs/tags/v1', await site.site.tag(path, 'v1'), path);
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    const delivered = (kind: string): number =>
      Number(
        site.rows(
          "SELECT count(*) AS n FROM rollouts WHERE cause_kind = ? AND phase = 'delivered'",
          kind,
        )[0]?.['n'],
      );
    await until(async () => delivered('event') === TARGETS, 250);

    const request = await propose(site, forge, { 'policies/gpus.yaml': profile(25) }, { isTold: false });
    const begun = performance.now();
    await request.tell();
    await until(async () => forge.statuses(request.head).length > 0);
    const status = performance.now() - begun;
    await until(async () => request.comments().length > 0);
    const comment = performance.now() - begun;
    const [text = ''] = request.comments();
    say(
      `a GPU profile of ${TARGETS} targets changed in a request: status after ${seconds(status)}, comment of ${text.length} characters after ${seconds(comment)}; the bound is ${BOUND} s`,
    );
    const merged = performance.now();
    await site.merge(request.head);
    await until(async () => delivered('policy') === TARGETS, 250);
    say(`its merge: ${TARGETS} targets deployed anew in ${seconds(performance.now() - merged)}`);
  } finally {
    await site.remove();
  }
}

if (import.meta.main) await measureReviewing((text) => process.stdout.write(`${text}\n`));
