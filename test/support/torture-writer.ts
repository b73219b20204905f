/** A process that commits as fast as it can for a while: `node torture-writer.ts '{"file": …, "name": …, "forMs": …}'`. */
import { SqliteDatabase } from '../../src/database/sqlite/sqlite-database.ts'
import { onefold, topic } from '../../src/index.ts'
import { say } from './torture-halt.ts'

export interface WriterConfig {
  readonly file: string
  readonly name: string
  readonly forMs: number
}

export interface WriterReport {
  readonly name: string
  readonly commits: number
  /** Milliseconds waited for the write lock, of the last commits. */
  readonly p50: number
  readonly p99: number
  readonly worst: number
  /** The longest time between two commits of this process. */
  readonly longestPauseMs: number
}

const config = JSON.parse(process.argv[2] ?? '') as WriterConfig
const database = new SqliteDatabase(config.file)
const app = onefold({ database })
const notes = topic<{ text: string }>('notes')
await app.publish(notes, { text: `${config.name} is there` })
say('ready')
await new Promise((resolve) => process.stdin.once('data', resolve))

const startedAt = performance.now()
let commits = 0
let longestPauseMs = 0
let before = startedAt
while (before - startedAt < config.forMs) {
  await app.publish(notes, { text: `${config.name} ${commits}` })
  const now = performance.now()
  longestPauseMs = Math.max(longestPauseMs, now - before)
  before = now
  commits++
}
const waits = [...database.lockWaits()].sort((a, b) => a - b)
const quantile = (share: number): number => waits[Math.min(waits.length - 1, Math.floor(share * waits.length))] ?? 0
const { name } = config
say(
  `report ${JSON.stringify({ name, commits, p50: quantile(0.5), p99: quantile(0.99), worst: quantile(1), longestPauseMs } satisfies WriterReport)}`,
)
await app.stop()
process.exit(0)
