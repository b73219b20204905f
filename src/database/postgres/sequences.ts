import { bodyDigest } from '../../canonical-json.ts'
import { OnefoldError } from '../../errors.ts'
import type { NumberStatus } from '../../inbox/claim-status.ts'
import { SequenceSet } from '../../inbox/sequence-set.ts'
import type { Envelope } from '../../message.ts'
import type { OutboxNumber } from '../../outbox-number.ts'
import { outboxSource } from '../../outbox-number.ts'
import { hexOf } from './hex.ts'
import type { Sql } from './sql.ts'
import { numberOf, textOf } from './sql.ts'

/** Body digests kept per numbered source, to tell a reused number from a repeat. */
const keptBodies = 4_096

export interface Numbered {
  readonly index: number
  readonly envelope: Envelope
  readonly sequence: bigint
}

/** Of one message: an error where its number cannot be taken, and only its. */
export type NumberedStatus = 'new' | 'seen' | 'reused' | OnefoldError

interface Added {
  readonly source: string
  readonly sequence: string
  readonly body: string
}

/**
 * Checks and records numbered messages, in order, in five statements however many there are. The sets of their sources are locked first,
 * in one order: two that read the same set would each forget what the other adds.
 */
export async function claimNumbers(
  sql: Sql,
  dedup: number,
  topic: string,
  messages: readonly Numbered[],
): Promise<ReadonlyMap<number, NumberedStatus>> {
  const statuses = new Map<number, NumberedStatus>()
  const sources = new Set(messages.map(({ envelope: { source } }) => source))
  const sets = await lockSets(sql, dedup, [...sources], (source) => `${topic}/${source}`)
  const added = new Map<string, Added>()
  const seen: (Numbered & { readonly body: string })[] = []
  for (const message of messages) {
    const { index, envelope, sequence } = message
    const { source } = envelope
    const body = hexOf(bodyDigest(envelope.json))
    const name = `${sequence} ${source}`
    const status = tried(sets.get(source) as SequenceSet, sequence)
    if (status === 'new') {
      added.set(name, { source, sequence: sequence.toString(), body })
      statuses.set(index, 'new')
    } else if (status !== 'seen') statuses.set(index, status)
    else if (added.has(name)) statuses.set(index, added.get(name)?.body === body ? 'seen' : 'reused')
    else seen.push({ ...message, body })
  }
  const known = await knownBodies(sql, dedup, seen)
  // Older than the digests kept: the number alone says it was received.
  for (const { index, body } of seen) statuses.set(index, (known.get(index) ?? body) === body ? 'seen' : 'reused')
  if (added.size > 0) await record(sql, dedup, [...added.values()], sets)
  return statuses
}

/**
 * Checks and records numbers that outboxes gave, in order, in three statements however many there are. Sets of outboxes are locked before
 * those of producers, by everybody.
 */
export async function claimOutboxNumbers(
  sql: Sql,
  dedup: number,
  numbers: readonly (OutboxNumber | undefined)[],
): Promise<(NumberStatus | undefined)[]> {
  const sets = await lockSets(sql, dedup, outboxSources(numbers), String)
  const grown = new Set<string>()
  const statuses = numbers.map((one) => {
    if (one === undefined) return undefined
    const source = outboxSource(one.series)
    const status = tried(sets.get(source) as SequenceSet, one.number)
    if (status === 'new') grown.add(source)
    return status
  })
  if (grown.size > 0) {
    await sql.rows(
      `update {s}.sequence s set ranges = r.ranges from json_to_recordset($2::json) as r (source text, ranges text)
       where s.dedup = $1::int and s.source = r.source`,
      dedup,
      JSON.stringify([...grown].map((source) => ({ source, ranges: sets.get(source)?.toStored() }))),
    )
  }
  return statuses
}

export const outboxSources = (numbers: readonly (OutboxNumber | undefined)[]): string[] => [
  ...new Set(numbers.flatMap((one) => (one === undefined ? [] : [outboxSource(one.series)]))),
]

/** An error where the bound on gaps refuses this number, and only it: refused, never dropped. */
function tried(set: SequenceSet, number: bigint): NumberStatus {
  try {
    return set.add(number)
  } catch (error) {
    if (error instanceof OnefoldError) return error
    throw error
  }
}

/** In the order in which claims lock them: those of outboxes first. */
export async function lockSetsOf(
  sql: Sql,
  dedup: number,
  outboxes: readonly string[],
  sources: readonly string[],
): Promise<void> {
  if (outboxes.length > 0) await lockSets(sql, dedup, outboxes, String)
  if (sources.length > 0) await lockSets(sql, dedup, sources, String)
}

/** `named`: what a source is called in errors. */
async function lockSets(
  sql: Sql,
  dedup: number,
  sources: readonly string[],
  named: (source: string) => string,
): Promise<Map<string, SequenceSet>> {
  const names = JSON.stringify(sources)
  await sql.rows(
    `insert into {s}.sequence (dedup, source, ranges)
     select $1::int, s, '' from json_array_elements_text($2::json) s order by s collate "C" on conflict do nothing`,
    dedup,
    names,
  )
  const rows = await sql.rows(
    `select source, ranges from {s}.sequence where dedup = $1::int and source in (select json_array_elements_text($2::json))
     order by source for update`,
    dedup,
    names,
  )
  return new Map(
    rows.map((row) => {
      const [source, stored] = [textOf(row.source), textOf(row.ranges)]
      return [source, SequenceSet.from(stored === '' ? undefined : stored, { source: named(source) })]
    }),
  )
}

async function knownBodies(sql: Sql, dedup: number, seen: readonly Numbered[]): Promise<ReadonlyMap<number, string>> {
  if (seen.length === 0) return new Map()
  const rows = await sql.rows(
    `select r.index, encode(b.body, 'hex') as body from json_to_recordset($2::json) as r (index int, source text, sequence bigint)
     cross join lateral (select body from {s}.sequence_body
       where dedup = $1::int and source = r.source and sequence = r.sequence limit 1) b`,
    dedup,
    JSON.stringify(seen.map(({ index, envelope: { source }, sequence }) => ({ index, source, sequence: sequence.toString() }))),
  )
  return new Map(rows.map((row) => [numberOf(row.index), textOf(row.body)]))
}

async function record(sql: Sql, dedup: number, added: readonly Added[], sets: ReadonlyMap<string, SequenceSet>): Promise<void> {
  await sql.rows(
    `insert into {s}.sequence_body (dedup, source, sequence, body)
     select $1::int, r.source, r.sequence, decode(r.body, 'hex')
     from json_to_recordset($2::json) as r (source text, sequence bigint, body text) on conflict do nothing`,
    dedup,
    JSON.stringify(added),
  )
  const highest = new Map<string, bigint>()
  for (const { source, sequence } of added) {
    const number = BigInt(sequence)
    if (number > (highest.get(source) ?? -1n)) highest.set(source, number)
  }
  await sql.rows(
    `with r as (select * from json_to_recordset($2::json) as r (source text, ranges text, below bigint)),
       old as (delete from {s}.sequence_body b using r where b.dedup = $1::int and b.source = r.source and b.sequence < r.below)
     update {s}.sequence s set ranges = r.ranges from r where s.dedup = $1::int and s.source = r.source`,
    dedup,
    JSON.stringify(
      [...highest].map(([source, number]) => ({
        source,
        ranges: sets.get(source)?.toStored(),
        below: (number - BigInt(keptBodies)).toString(),
      })),
    ),
  )
}
