import type { Pool } from 'pg'
import type { BacklogOptions } from './backlog-tenths.ts'
import { appliedBy, auditAll, partitions } from './backlog-tenths.ts'
import { waitUntil } from './bounded.ts'
import type { TableSize } from './table-sizes.ts'
import { measuredTables, megabytes, sizesHead, sizesRow, tableSizes } from './table-sizes.ts'
import type { OnefoldSettings } from './with-onefold.ts'

const retainedMs = 60_000
const maxIds = 100_000
/** The shortest window there is; one attempt, for a window must be longer than attempts can last. */
const retaining: OnefoldSettings = {
  partitions,
  retentionMs: retainedMs,
  dedupWindow: { ms: 60_000, maxIds },
  maxAttempts: 1,
  hearsBooked: true,
}
const removedWithinMs = 1_500_000
const appliedWithinMs = 600_000
const vacuumedWithinMs = 240_000
/** Autovacuum leaves a table alone that has fewer than 50. */
const fewDeadRows = 100

export interface RetentionOptions extends BacklogOptions {
  readonly rounds: number
  /** Messages of each. */
  readonly round: number
}

/** After a backlog: what retention removes, what VACUUM gives back, and how large the tables are when the same goes on. */
export async function measureRetention({ fleet, pool, messages, rounds, round, say }: RetentionOptions) {
  say(`### Retention: messages ${retainedMs / 1_000} s, identities 60 s and at most ${maxIds} of them per window\n`)
  say(sizesHead)
  const steps: { readonly when: string; readonly sizes: readonly TableSize[] }[] = []
  async function note(when: string): Promise<readonly TableSize[]> {
    const sizes = await tableSizes(pool)
    steps.push({ when, sizes })
    say(sizesRow(when, sizes))
    return sizes
  }

  const before = await note('all applied, before retention')
  await fleet.startWorkers(retaining)
  fleet.go()
  const tookMs = await waitUntil('everything removed', removedWithinMs, 1_000, () => isEmpty(pool))
  await note(`all removed, after ${Math.round(tookMs / 1_000)} s`)
  for (const table of measuredTables) await pool.query(`vacuum onefold.${table}`)
  await note('after VACUUM')

  const ends: (readonly TableSize[])[] = []
  let published = messages
  for (let turn = 1; turn <= rounds; turn++) {
    await fleet.publish(published, published + round, retaining)
    published += round
    await waitUntil(
      'all applied',
      appliedWithinMs,
      50,
      async () => (await appliedBy(pool, 'accounts')) >= published && (await appliedBy(pool, 'archive')) >= published - messages,
    )
    ends.push(await note(`${round} more applied (${turn} of ${rounds})`))
    await waitUntil('everything removed', removedWithinMs, 1_000, () => isEmpty(pool))
    await waitUntil('autovacuum has been there', vacuumedWithinMs, 1_000, async () => (await deadRows(pool)) < fewDeadRows)
    await note('removed, and autovacuum has been there')
  }
  await fleet.stopWorkers()
  await auditAll(pool, published)

  const total = (sizes: readonly TableSize[] | undefined): number => (sizes ?? []).reduce((sum, { total }) => sum + total, 0)
  const ratios = { lastRoundToFirst: total(ends.at(-1)) / total(ends[0]), lastRoundToBefore: total(ends.at(-1)) / total(before) }
  const { rows } = await pool.query<{ relname: string; n: string }>(
    `select relname, autovacuum_count as n from pg_stat_user_tables where schemaname = 'onefold' and relname = any ($1) order by relname`,
    [measuredTables],
  )
  say(
    [
      '',
      `The VACUUM was an explicit one, once; in the rounds only autovacuum ran, with its default settings (in all: ${rows.map(({ relname, n }) => `${relname} ${n}`).join(', ')}).`,
      `- all three after the last round / after the first: ${ratios.lastRoundToFirst.toFixed(2)} (bounded: about 1)`,
      `- after the last round / before retention: ${ratios.lastRoundToBefore.toFixed(2)}, ${megabytes(total(ends.at(-1)))} of ${megabytes(total(before))} MB`,
      `- audit: every balance right, ${published} applied, none twice`,
    ].join('\n'),
  )
  return { steps, ratios, removedMs: tookMs }
}

/** Through the first key of an index: a scan would go through all that has been removed and not yet vacuumed. */
const anyRow = [
  'select 1 from onefold.log_position order by partition, last limit 1',
  'select 1 from onefold.log order by message limit 1',
  'select 1 from onefold.identity order by dedup, source, key limit 1',
]

async function isEmpty(pool: Pool): Promise<boolean> {
  for (const query of anyRow) if ((await pool.query(query)).rows.length > 0) return false
  return true
}

/** Of the table that has most, as the server's statistics tell. */
async function deadRows(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ n: string }>(
    "select max(n_dead_tup) as n from pg_stat_user_tables where schemaname = 'onefold' and relname = any ($1)",
    [measuredTables],
  )
  return Number(rows[0]?.n)
}
