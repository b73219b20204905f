import type { DatabaseCard } from '../../guarantee/card.ts'
import type { CheckedOptions } from './options.ts'

/** What this engine claims. Nothing is opened for it, so the server's version stays unknown. */
export function postgresCard<Tx>({ durability, idleInTransactionMs, transactions }: CheckedOptions<Tx>): DatabaseCard {
  return Object.freeze({
    kind: 'database',
    name: 'postgres',
    claims: Object.freeze({
      'committed means on disk': durability === 'on',
      'durability option': 'durability',
      'durability is set to': durability,
      'durable when set to': 'on',
      'transactions at a time': 'many',
      'several processes': true,
      'frozen inside a transaction': `the server ends it after ${idleInTransactionMs} ms (idleInTransactionMs); until then its partition waits, and nothing else`,
      'handle is revoked': transactions === undefined,
      ...(transactions === undefined ? {} : { 'an unawaited write': unawaited(transactions.library) }),
      refuses: '',
    }),
  })
}

const unawaited = (library: string) => ({
  option: 'transactions',
  value: library,
  where: 'postgres()',
  says: `\`tx\` is ${library}'s own and cannot be revoked: a query whose await was forgotten never runs, or runs when the transaction is over; have a lint rule for floating promises`,
})
