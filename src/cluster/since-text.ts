const DAY = 86_400_000;

/**
 * Says a moment to a person.
 * @param since milliseconds since the epoch
 * @returns such as `10:02 UTC`; with the day where it is not the last day
 */
export function sinceText(since: number, at: number): string {
  const [day, time] = new Date(since).toISOString().split('T');
  const clock = `${time?.slice(0, 5)} UTC`;
  return at - since < DAY ? clock : `${day} ${clock}`;
}
