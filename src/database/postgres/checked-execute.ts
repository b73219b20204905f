import type { Execute } from './client.ts'
import { transactionEnded } from './errors.ts'

/**
 * Statements of ours in a transaction that another client runs. A handler's own SQL may end that one (a text of several statements, `raw('rollback')`), and
 * what follows would be executed and committed one by one: so the first statement after a handler asks whose transaction this is.
 */
export class CheckedExecute {
  readonly #execute: Execute
  readonly #xid: string
  #unsure = false

  constructor(execute: Execute, xid: string) {
    this.#execute = execute
    this.#xid = xid
  }

  /** A handler gets the transaction. */
  handedOut(): void {
    this.#unsure = true
  }

  /** @throws OnefoldError `TRANSACTION_ENDED` */
  async verify(): Promise<void> {
    if (!this.#unsure) return
    this.#unsure = false
    const [row] = await this.#execute('select pg_current_xact_id_if_assigned()::text as xid')
    if (row?.xid !== this.#xid) throw transactionEnded()
  }

  readonly execute: Execute = async (text, parameters) => {
    // Those fail by themselves where there is no such savepoint.
    if (this.#unsure && !/^(?:release|rollback to) savepoint /.test(text)) await this.verify()
    return this.#execute(text, parameters)
  }
}
