import { isOnefoldError, OnefoldError } from '../../errors.ts'

/** A text is prepared when it has been executed so often: what is built from values is seldom the same twice. */
const executionsBefore = 5
/** So many names at most, on each connection; what comes later is executed as it is. */
const mostNames = 200
const mostWatched = 2_000
const longestText = 10_000
/** Whoever makes them stale again and again (DISCARD ALL after each use) is left alone. */
const mostRenewals = 20

/**
 * Which statements of a pool are prepared: the server parses and plans them once per connection, under a name of ours. It is half of
 * what a short statement costs.
 *
 * Only where a connection leads to the server itself: behind a pooler in transaction mode the next transaction may be another
 * server process's, which does not know the name. A pooler tells its clients a process number of its own; so `leadsToServer`
 * compares what was told with what the server says.
 */
export class PreparedStatements {
  /** Undefined: nobody has looked. */
  leadsToServer: boolean | undefined
  readonly #seen = new Map<string, number>()
  readonly #names = new Map<string, string>()
  #renewals = 0

  /** Of a statement that is about to be executed; undefined: without a name. */
  nameOf(text: string): string | undefined {
    if (this.leadsToServer !== true) return undefined
    const known = this.#names.get(text)
    if (known !== undefined) return known
    if (this.#names.size >= mostNames || this.#renewals >= mostRenewals || text.length > longestText) return undefined
    const executions = (this.#seen.get(text) ?? 0) + 1
    if (executions < executionsBefore) {
      if (this.#seen.size >= mostWatched) this.#seen.clear()
      this.#seen.set(text, executions)
      return undefined
    }
    this.#seen.delete(text)
    const name = `onefold_${this.#renewals}_${this.#names.size}`
    this.#names.set(text, name)
    return name
  }

  /** What the server has under the names is of no use any more. */
  renew(): void {
    this.#renewals++
    this.#names.clear()
  }
}

const ofPools = new WeakMap<object, PreparedStatements>()

/** A pool has one set of names, however many apps use it. */
export function preparedStatementsOf(pool: object): PreparedStatements {
  const known = ofPools.get(pool)
  if (known !== undefined) return known
  const statements = new PreparedStatements()
  ofPools.set(pool, statements)
  return statements
}

/**
 * The server has forgotten the name (DEALLOCATE, DISCARD ALL), or what the statement returns has changed with a table. Said before
 * anything of the statement is executed. The code of the second says little (`feature_not_supported`), its place in the server does.
 */
export function isStale(error: unknown): boolean {
  const { code, routine } = (error ?? {}) as { readonly code?: unknown; readonly routine?: unknown }
  return code === '26000' || (code === '0A000' && routine === 'RevalidateCachedQuery')
}

/** In a transaction, which is lost with it. */
export function staleStatement(cause: unknown, where: string): OnefoldError {
  return new OnefoldError(
    'DATABASE_BUSY',
    `database ${where}: a prepared statement has become stale (${(cause as Error).message}); the same again goes through.`,
    { retry: 'now', cause, details: { database: where } },
  )
}

/** Nothing was written, and nobody is to blame: the transaction is run again. */
export const goesThroughAgain = (error: unknown): boolean =>
  isOnefoldError(error, 'DATABASE_BUSY') && (error as OnefoldError).retry === 'now'
