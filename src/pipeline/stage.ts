/** What the controller runs: a queue of due rows, and what is done with each. */

/** One unit of work, begun by calling it. It stores its own outcome, failures included. */
export type Work = () => Promise<void>;

export interface Stage {
  readonly name: string;
  /** How many units run at once. */
  readonly concurrency: number;
  /** Whether it lets stages before it go first while they have all their hands full. */
  readonly yields: boolean;
  /**
   * Leases what is due.
   * @param limit how many units there is room for
   * @param pressed whether a stage before it has more due than it can take: more is about to come
   */
  claim(limit: number, pressed: boolean): Promise<Work[]>;
}
