/** The command line itself is wrong: said on stderr with the way to the help, exit code 2. Nothing was opened. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}
