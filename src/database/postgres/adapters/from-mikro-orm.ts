import { OnefoldError, optionInvalid } from '../../../errors.ts'
import type { SqlRow } from '../client.ts'
import { isConnectionLost, transactionEnded } from '../errors.ts'
import type { Transactions } from '../transactions.ts'
import { runThrough } from './run-through.ts'

/** The shape of a MikroORM instance (7.0 or later) on PostgreSQL, as far as it is used. */
export interface MikroOrm<Tx> {
  readonly em: Tx & object
}

/** Of Kysely, which MikroORM is over: not MikroORM's own `execute`, which puts values into the text itself. */
interface TransactionContext {
  withoutPlugins(): { executeQuery(query: unknown): Promise<Result> }
  getExecutor(): { provideConnection(consumer: (connection: Connection) => Promise<void>): Promise<void> }
}

interface Result {
  readonly rows: readonly SqlRow[]
}

interface Connection {
  executeQuery(query: { readonly sql: string }, ...more: unknown[]): Promise<Result>
}

interface EntityManager {
  fork(): EntityManager
  transactional<R>(work: (tx: EntityManager) => Promise<R>, options: { isolationLevel: 'read committed' }): Promise<R>
  getTransactionContext(): TransactionContext | undefined
  flush(): Promise<void>
  clear(): void
}

/**
 * `tx` is MikroORM's `EntityManager`, bound to the transaction. What a handler has changed and not flushed is written when it ends,
 * and is undone with it; the next message begins with no entities. Inside a handler `orm.em` and the repositories taken from it are
 * bound to the same transaction.
 *
 * Outside of one, `orm.em` has the type of a transaction's; passing it as `{ tx }` is refused at run time (`TX_FOREIGN`).
 *
 * @throws OnefoldError `OPTION_INVALID` for anything but a MikroORM instance.
 * @example
 * const app = onefold({ database: postgres(pool, { transactions: fromMikroOrm(orm) }) })
 */
export function fromMikroOrm<Tx>(orm: MikroOrm<Tx>): Transactions<Tx> {
  const root = orm?.em as unknown
  if (!isEntityManager(root)) throw optionInvalid('fromMikroOrm(orm)', orm, 'the instance that MikroORM.init() returns')
  return {
    library: 'mikro-orm',
    run: (work) => runThrough('mikro-orm', (callback: (tx: Tx) => Promise<void>) => begin(root, callback), work),
    execute: (tx) => {
      const em = tx as EntityManager
      return async (sql, parameters = []) => {
        const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
        const compiled = { sql, parameters, query, queryId: { queryId: 'onefold' } }
        return (await contextOf(em).withoutPlugins().executeQuery(compiled)).rows
      }
    },
    recognises: (value) => isEntityManager(value) && value.getTransactionContext() !== undefined,
    unitOfWork: {
      flush: async (tx) => {
        const em = tx as EntityManager
        // It would open a transaction of its own.
        contextOf(em)
        await em.flush()
      },
      clear: (tx) => (tx as EntityManager).clear(),
    },
  }
}

/** In a fork, so that nothing goes from one transaction to another, or to whoever called. */
const begin = <Tx>(root: EntityManager, work: (tx: Tx) => Promise<void>): Promise<void> =>
  root.fork().transactional(
    async (em) => {
      const context = em.getTransactionContext()
      if (context === undefined) throw noTransaction()
      await context.getExecutor().provideConnection(givenBackWhenLost)
      await work(em as Tx)
    },
    { isolationLevel: 'read committed' },
  )

const seen = new WeakSet<Connection>()

/**
 * Kysely keeps a connection for ever whose ROLLBACK fails (https://github.com/kysely-org/kysely/issues/1990): after a few restarts of the
 * server MikroORM's pool has none left, and everything waits. One that is lost has nothing to roll back.
 */
async function givenBackWhenLost(connection: Connection): Promise<void> {
  if (seen.has(connection)) return
  seen.add(connection)
  const executeQuery = connection.executeQuery.bind(connection)
  connection.executeQuery = async (query, ...more) => {
    try {
      return await executeQuery(query, ...more)
    } catch (error) {
      if (query.sql === 'rollback' && isConnectionLost(error)) return { rows: [] }
      throw error
    }
  }
}

/** @throws OnefoldError `TRANSACTION_ENDED` when the handler has said `tx.commit()` or `tx.rollback()`. */
function contextOf(em: EntityManager): TransactionContext {
  const context = em.getTransactionContext()
  if (context === undefined) throw transactionEnded()
  return context
}

function noTransaction(): OnefoldError {
  return new OnefoldError(
    'DATABASE_UNSUITABLE',
    "mikro-orm began no transaction: a message and its effect cannot commit together. Remove disableTransactions from MikroORM's options.",
    { retry: 'never' },
  )
}

function isEntityManager(value: unknown): value is EntityManager {
  const { fork, transactional, getTransactionContext, getUnitOfWork } = (value ?? {}) as Record<string, unknown>
  return (
    typeof value === 'object' &&
    [fork, transactional, getTransactionContext, getUnitOfWork].every((method) => typeof method === 'function')
  )
}
