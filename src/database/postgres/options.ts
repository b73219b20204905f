import { optionInvalid } from '../../errors.ts'
import type { Runtime } from '../../runtime.ts'
import { whole } from '../../whole-number.ts'
import type { PostgresClient } from './client.ts'
import { isPgPool, PgPoolClient } from './pg-client.ts'
import { plainOf } from './plain-transactions.ts'
import { PostgresJsClient } from './postgres-js-client.ts'
import type { PostgresOptions } from './postgres-options.ts'
import type { OpenTransaction } from './transaction.ts'
import type { Joinable, Transactions } from './transactions.ts'

/** Options with their defaults, checked, and what follows from the pool. */
export interface CheckedOptions<Tx> {
  /** As they were given: to make the same database again over another pool. */
  readonly declared: { readonly target: unknown; readonly options: PostgresOptions<Tx> }
  readonly client: (runtime: Runtime) => PostgresClient
  readonly library: 'pg' | 'postgres.js'
  /** Whose `tx` handlers get; undefined: a handle of ours, over the connection of a transaction of ours. */
  readonly transactions: Transactions<Tx> | undefined
  /** Whose transactions are joined, most particular first. */
  readonly joinable: readonly Joinable[]
  readonly handle: (open: OpenTransaction) => { readonly tx: Tx; close(): void }
  /** Quoted. */
  readonly schema: string
  readonly channel: string
  readonly migrations: 'check' | 'apply'
  readonly durability: 'on' | 'off'
  readonly idleInTransactionMs: number
  readonly listen: boolean
  readonly pollMs: number
}

/** @throws OnefoldError `OPTION_INVALID` naming the option. */
export function checkedOptions<Tx>(target: unknown, options: PostgresOptions<Tx>): CheckedOptions<Tx> {
  const { transactions, schema = 'onefold', migrations = 'check', durability = 'on', listen = true } = options
  const { preparedStatements = true } = options
  if (!/^[a-z_][a-z0-9_]{0,39}$/.test(schema) || schema.startsWith('pg_'))
    throw optionInvalid('schema', schema, '1 to 40 lower-case letters, digits or underscores, not starting with a digit or pg_')
  if (migrations !== 'check' && migrations !== 'apply') throw optionInvalid('migrations', migrations, "'check' or 'apply'")
  if (durability !== 'on' && durability !== 'off') throw optionInvalid('durability', durability, "'on' or 'off'")
  if (typeof listen !== 'boolean') throw optionInvalid('listen', listen, 'true or false')
  if (typeof preparedStatements !== 'boolean') throw optionInvalid('preparedStatements', preparedStatements, 'true or false')
  if (transactions !== undefined && typeof transactions.run !== 'function')
    throw optionInvalid('transactions', transactions, 'made by fromDrizzle(db), fromKysely(db), … of onefold/postgres')
  const plain = plainOf(target)
  return {
    declared: { target, options },
    client: (runtime) =>
      isPgPool(target)
        ? new PgPoolClient(target, runtime, { prepare: preparedStatements })
        : new PostgresJsClient(target as never),
    library: plain.library,
    transactions: transactions ?? (plain.transactions as Transactions<Tx> | undefined),
    joinable: [...(transactions === undefined ? [] : [transactions as Joinable]), plain.joinable],
    handle: (open) =>
      (open.tx === undefined ? plain.handle(open) : { tx: open.tx, close: () => undefined }) as {
        readonly tx: Tx
        close(): void
      },
    schema: `"${schema}"`,
    channel: `onefold_${schema}`,
    migrations,
    durability,
    idleInTransactionMs: whole('idleInTransactionMs', options.idleInTransactionMs, 10_000, 1_000, 600_000),
    listen,
    pollMs: whole('pollMs', options.pollMs, 250, 20, 60_000),
  }
}
