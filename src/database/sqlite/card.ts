import type { DatabaseCard } from '../../guarantee/card.ts'
import type { SqliteConnection } from './connection.ts'

const ownHandle = Object.freeze({
  option: 'handle',
  value: 'your own',
  where: 'sqlite(handle)',
  says: 'what is written through your own handle instead of `tx` cannot be revoked: a write whose await was forgotten lands in whatever transaction is open then; give a file name, and write through `tx`',
})

/** What this engine claims. Nothing is opened for it: of a better-sqlite3 handle the version stays unknown. */
export function sqliteCard(target: string | SqliteConnection, synchronous: 'FULL' | 'NORMAL'): DatabaseCard {
  const library = typeof target === 'string' ? 'node:sqlite' : target.library
  return Object.freeze({
    kind: 'database',
    name: 'sqlite',
    version: library === 'node:sqlite' ? process.versions.sqlite : undefined,
    claims: Object.freeze({
      'committed means on disk': synchronous === 'FULL',
      'durability option': 'synchronous',
      'durability is set to': synchronous,
      'durable when set to': 'FULL',
      'transactions at a time': 1,
      'several processes': true,
      'frozen inside a transaction': 'all writers wait until the process goes on or ends; status names its pid',
      'handle is revoked': typeof target === 'string',
      ...(typeof target === 'string' ? {} : { 'an unawaited write': ownHandle }),
      refuses: 'network file systems',
    }),
  })
}
