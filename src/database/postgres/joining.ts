import { OnefoldError } from '../../errors.ts'
import type { Execute } from './client.ts'
import { explainError, isConnectionLost, isOutsideTransaction, isUndefinedTable, sqlState } from './errors.ts'
import { textOf } from './sql.ts'
import type { Joinable } from './transactions.ts'
import { TransactionHandle } from './transactions.ts'

export interface JoiningOptions {
  readonly incarnation: string
  readonly where: string
  /** Quoted. */
  readonly schema: string
  /** Most particular first. */
  readonly joinable: readonly Joinable[]
}

/** Statements in a transaction of the caller's own, once it is certain that it is one, and on this database. */
export class Joining {
  readonly #options: JoiningOptions
  /** Seen to be on this database. A transaction's object is not used for another one. */
  readonly #checked = new WeakSet<object>()

  constructor(options: JoiningOptions) {
    this.#options = options
  }

  /** All or nothing for `work`, and the caller's transaction can go on either way. @throws OnefoldError `TX_FOREIGN`. */
  async join<R>(tx: unknown, work: (execute: Execute) => Promise<R>): Promise<R> {
    const execute = this.#executeOn(tx)
    try {
      await execute('savepoint onefold_join')
    } catch (error) {
      if (isOutsideTransaction(error)) throw notInTransaction(error)
      throw isConnectionLost(error) ? explainError(error, this.#options.where) : error
    }
    let result: R
    try {
      await this.#check(tx as object, execute)
      result = await work(execute)
    } catch (error) {
      await execute('rollback to savepoint onefold_join').catch(() => undefined)
      await execute('release savepoint onefold_join').catch(() => undefined)
      throw explainError(error, this.#options.where)
    }
    await execute('release savepoint onefold_join')
    return result
  }

  #executeOn(tx: unknown): Execute {
    if (tx instanceof TransactionHandle) {
      tx.assertOpen()
      return tx.execute
    }
    for (const kind of this.#options.joinable) if (kind.recognises(tx)) return kind.execute(tx as never)
    const known = this.#options.joinable.map(({ library }) => library).join(' or ')
    throw new OnefoldError(
      'TX_FOREIGN',
      `tx is not a transaction of ${known}: pass the tx that app.transaction() or your client's own transaction function hands you, not the handle beside it.`,
    )
  }

  async #check(tx: object, execute: Execute): Promise<void> {
    if (this.#checked.has(tx)) return
    const { schema, incarnation, where } = this.#options
    let found: string | undefined
    try {
      const [row] = await execute(`select value from ${schema}.meta where name = 'incarnation'`)
      found = row === undefined ? undefined : textOf(row.value)
    } catch (error) {
      // No such table, or no right to look at it.
      if (!isUndefinedTable(error) && sqlState(error) !== '42501') throw error
    }
    if (found !== incarnation) {
      throw new OnefoldError('TX_FOREIGN', `tx is a transaction on another database than ${where}: pass it to that one's app.`, {
        details: { database: where },
      })
    }
    this.#checked.add(tx)
  }
}

function notInTransaction(cause: unknown): OnefoldError {
  return new OnefoldError(
    'TX_FOREIGN',
    'tx has no transaction open; BEGIN first (or use app.transaction()), so that the message commits with your own rows.',
    { cause },
  )
}
