import { OnefoldError, optionInvalid } from '../../../errors.ts'
import type { SqlRow } from '../client.ts'
import { transactionEnded } from '../errors.ts'
import type { Transactions } from '../transactions.ts'
import { runThrough } from './run-through.ts'

/** The shape of a Prisma Client on PostgreSQL, as far as it is used. */
export interface PrismaDatabase<Tx> {
  $transaction<R>(
    work: (tx: Tx) => Promise<R>,
    options?: { maxWait?: number; timeout?: number; isolationLevel?: 'ReadCommitted' },
  ): Promise<R>
}

export interface FromPrismaOptions {
  /** How long a transaction may take before Prisma ends it: 1,000 to 3,600,000 ms, default 60,000 (Prisma's own is 5,000). */
  readonly timeoutMs?: number
  /** How long Prisma waits for a connection: 100 to 600,000 ms, default 10,000 (Prisma's own is 2,000). */
  readonly maxWaitMs?: number
}

interface PrismaTransaction {
  $queryRawUnsafe(text: string, ...parameters: unknown[]): PromiseLike<unknown>
}

/**
 * `tx` is Prisma's `Prisma.TransactionClient`.
 *
 * A query of Prisma's runs when it is awaited. One that is not awaited does not run, and nothing tells of it. The client beside a
 * transaction has all that a transaction has, so that passing it as `{ tx }` compiles; it is refused at run time (`TX_FOREIGN`).
 *
 * @throws OnefoldError `OPTION_INVALID` naming the option.
 * @example
 * const app = onefold({ database: postgres(pool, { transactions: fromPrisma(prisma) }) })
 */
export function fromPrisma<Tx>(prisma: PrismaDatabase<Tx>, options: FromPrismaOptions = {}): Transactions<Tx> {
  if (!isPrisma(prisma) || isTransaction(prisma)) throw optionInvalid('fromPrisma(prisma)', prisma, 'a PrismaClient')
  const timeout = whole('timeoutMs', options.timeoutMs ?? 60_000, 1_000, 3_600_000)
  const maxWait = whole('maxWaitMs', options.maxWaitMs ?? 10_000, 100, 600_000)
  return {
    library: 'prisma',
    run: async (work) => {
      let begun = false
      const begin = (callback: (tx: Tx) => Promise<void>): Promise<void> =>
        prisma.$transaction(callback, { timeout, maxWait, isolationLevel: 'ReadCommitted' })
      try {
        return await runThrough('prisma', begin, (tx: Tx) => {
          begun = true
          return work(tx)
        })
      } catch (error) {
        throw !begun && isOver(error) ? noConnection(error, maxWait) : error
      }
    },
    execute:
      (tx) =>
      async (text, parameters = []) => {
        try {
          return (await (tx as PrismaTransaction).$queryRawUnsafe(text, ...parameters)) as readonly SqlRow[]
        } catch (error) {
          throw isOver(error) ? transactionEnded(error) : error
        }
      },
    recognises: isTransaction,
  }
}

/** Prisma has none of its own to give, or took away what it gave: its `timeout` is over. */
const isOver = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === 'P2028'

function noConnection(cause: unknown, maxWaitMs: number): OnefoldError {
  return new OnefoldError(
    'DATABASE_BUSY',
    `prisma had no connection free within ${maxWaitMs} ms; give its pool more, or raise maxWaitMs of fromPrisma.`,
    { retry: 'later', cause, details: { maxWaitMs } },
  )
}

function whole(option: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw optionInvalid(option, value, `a whole number from ${least} to ${most}`)
}

function isPrisma(value: unknown): boolean {
  const { $queryRawUnsafe } = (value ?? {}) as Record<string, unknown>
  return typeof $queryRawUnsafe === 'function'
}

/** The client beside it connects and disconnects. */
function isTransaction(value: unknown): boolean {
  return isPrisma(value) && (value as { $connect?: unknown }).$connect === undefined
}
