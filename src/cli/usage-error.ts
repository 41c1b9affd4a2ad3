/** What a command was given cannot be used, such as a file that is not there: the program ends with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
