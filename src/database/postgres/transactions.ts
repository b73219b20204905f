import { OnefoldError } from '../../errors.ts'
import type { Execute } from './client.ts'

/**
 * How the client you write with (an ORM, a query builder) runs a transaction, so that Onefold's statements join it.
 * Made by `fromDrizzle(db)` and its like.
 */
export interface Transactions<Tx> extends Joinable<Tx> {
  /** Begins at READ COMMITTED, runs `work`, commits when it resolves, and rolls back when it rejects. */
  run<R>(work: (tx: Tx) => Promise<R>): Promise<R>
  /** Where `tx` collects changes, and writes them later. */
  readonly unitOfWork?: UnitOfWork<Tx>
}

/** What a handler has changed is written before it has ended, so that it belongs to its own message, and to no other of the batch. */
export interface UnitOfWork<Tx> {
  /** Writes in the transaction what was collected. @throws whatever is wrong with it: that is the handler's failure. */
  flush(tx: Tx): Promise<void>
  /** Forgets what was collected, and what was read. */
  clear(tx: Tx): void
}

/** A kind of transaction that statements of Onefold's can join, whoever began it. */
export interface Joinable<Tx = never> {
  /** For error messages and the card: 'drizzle'. */
  readonly library: string
  /** Executes a statement in one of its transactions. */
  execute(tx: Tx): Execute
  /** Does it look like one of its transactions, and not like the handle beside them? */
  recognises(tx: unknown): boolean
}

export interface PostgresResult<Row> {
  readonly rows: Row[]
  readonly rowCount: number
}

/**
 * The transaction a handler writes in, where no other client was named. Everything commits with the message, or nothing does.
 * Revoked when the handler ends: later use throws `TX_CLOSED` and does nothing.
 */
export interface PostgresTx {
  /** One statement; parameters `$1`, `$2`, … are passed to the client library as they are. */
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<PostgresResult<Row>>
}

/** Statements that would end or nest the transaction under us. What slips past is caught after the handler. */
const controlsTransaction =
  /^(?:\s|--[^\n]*\n|\/\*[\s\S]*?\*\/|;)*(?:begin|start\s+transaction|commit|end|rollback|abort|savepoint|release|prepare\s+transaction)\b/i

type Query = (text: string, values: readonly unknown[]) => Promise<PostgresResult<Record<string, unknown>>>

/** Over the connection a transaction of ours runs on. */
export class TransactionHandle implements PostgresTx {
  readonly execute: Execute
  readonly #query: Query
  #open = true

  constructor(execute: Execute, query: Query) {
    this.execute = execute
    this.#query = query
  }

  async query<Row>(text: string, values: readonly unknown[] = []): Promise<PostgresResult<Row>> {
    this.assertOpen()
    if (controlsTransaction.test(text)) {
      throw new OnefoldError(
        'TX_CONTROL',
        `tx runs inside a transaction that Onefold commits: ${text.trim().split(/\s/, 1)[0]} is not for handlers. Throw to undo what the handler did.`,
      )
    }
    return (await this.#query(text, values)) as PostgresResult<Row>
  }

  assertOpen(): void {
    if (!this.#open)
      throw new OnefoldError('TX_CLOSED', 'tx was used after its handler or transaction had ended; nothing was written.')
  }

  revoke(): void {
    this.#open = false
  }
}
