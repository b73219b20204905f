import { bodyDigest } from '../../canonical-json.ts'
import { OnefoldError } from '../../errors.ts'
import type { NumberStatus } from '../../inbox/claim-status.ts'
import { idKey } from '../../inbox/id-key.ts'
import type { Envelope } from '../../message.ts'
import { outboxNumberOf } from '../../outbox-number.ts'
import { hexOf } from './hex.ts'
import type { StoreContext } from './known.ts'
import type { Numbered } from './sequences.ts'
import { claimNumbers, claimOutboxNumbers, lockSetsOf, outboxSources } from './sequences.ts'
import { numberOf, numberOrNull, textOf } from './sql.ts'

/** A known identity that is forgotten between two statements is asked for again. */
const mostLooks = 5

/** 'too-old': not known, but stated to be from a time of which something was forgotten. Recorded like a new one. */
export type IdentityStatus = 'new' | 'seen' | 'reused' | 'too-old' | OnefoldError

export interface Claimed {
  readonly statuses: IdentityStatus[]
  /** The window has forgotten something; not told when nothing was new. */
  readonly forgot: boolean
}

export interface IdentityInput {
  readonly index: number
  readonly envelope: Envelope
  /** Hexadecimal. */
  readonly key: string
}

/** Which of them were new, by index, and whether the window has forgotten something. */
export interface Recorded {
  readonly fresh: ReadonlyMap<number, 'new' | 'too-old'>
  readonly forgot: boolean
}

/** Records identities that nobody else has; `statuses` of numbered messages are known by then. May be called again with those left over. */
export type Recorder = (
  dedup: number,
  inputs: readonly IdentityInput[],
  statuses: readonly (IdentityStatus | undefined)[],
) => Promise<Recorded>

/**
 * Which identities a topic (at publish) or a subscription (its inbox) has taken.
 *
 * One unique index decides: check and record are one `insert … on conflict do nothing` for a whole batch, in the order of the
 * index, so that two batches wait for each other and never in a circle. At publish the same statement writes the log (`Appending`). A generation is only a mark on each row that says when it
 * is to be forgotten. A writer that meets an identity somebody else is just writing waits for that transaction's end.
 * Numbered messages live in an interval set per source, locked by who adds to it.
 */
export class Windows {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /** The window's number; made where it is new. */
  async number(topic: string, group: string): Promise<number> {
    const { sql, known, made, wallMs } = this.#context
    const name = `${topic}\n${group}`
    const cached = known.windows.get(name) ?? made.windows.get(name)
    if (cached !== undefined) return cached
    const find = 'select dedup from {s}.dedup_window where topic = $1 and grp = $2'
    let row = await sql.row(find, topic, group)
    if (row === undefined) {
      row = await sql.row(
        'insert into {s}.dedup_window (topic, grp, current) values ($1, $2, 0) on conflict do nothing returning dedup',
        topic,
        group,
      )
      if (row === undefined) row = await sql.row(find, topic, group)
      else
        await sql.rows(
          `with g as (insert into {s}.generation (dedup, opened_ms) values ($1::int, $2::bigint) returning generation)
           update {s}.dedup_window set current = (select generation from g) where dedup = $1::int`,
          numberOf(row.dedup),
          Math.floor(wallMs()),
        )
    }
    if (row === undefined) throw new OnefoldError('DATABASE_CORRUPT', `the dedup window of ${topic} ${group} could not be made.`)
    const number = numberOf(row.dedup)
    made.windows.set(name, number)
    return number
  }

  /** A message published up to this time may have been received and forgotten. Undefined: nothing was. */
  async forgottenMs(topic: string, group: string): Promise<number | undefined> {
    const row = await this.#context.sql.row(
      'select forgotten_ms from {s}.dedup_window where topic = $1 and grp = $2',
      topic,
      group,
    )
    return numberOrNull(row?.forgotten_ms) ?? undefined
  }

  /**
   * Checks and records, in order, the numbers that outboxes gave. They need no window: each set is kept for ever. Undefined: none of
   * these came by an outbox.
   */
  async claimOutboxNumbers(
    topic: string,
    group: string,
    envelopes: readonly Envelope[],
  ): Promise<readonly (NumberStatus | undefined)[] | undefined> {
    const numbers = envelopes.map(outboxNumberOf)
    if (numbers.every((number) => number === undefined)) return undefined
    return claimOutboxNumbers(this.#context.sql, await this.number(topic, group), numbers)
  }

  async lockSets(topic: string, group: string, envelopes: readonly Envelope[]): Promise<void> {
    const outboxes = outboxSources(envelopes.map(outboxNumberOf))
    const sources = new Set(envelopes.flatMap(({ source, sequence }) => (sequence === undefined ? [] : [source])))
    if (outboxes.length + sources.size > 1)
      await lockSetsOf(this.#context.sql, await this.number(topic, group), outboxes, [...sources])
  }

  /** Checks and records, in order. A repeat within one call is 'seen' like any other. */
  async claim(
    topic: string,
    group: string,
    envelopes: readonly Envelope[],
    recorder: Recorder = (dedup, inputs) => this.#record(dedup, inputs),
  ): Promise<Claimed> {
    const dedup = await this.number(topic, group)
    const statuses: IdentityStatus[] = new Array(envelopes.length)
    const first = new Map<string, IdentityInput>()
    const repeats: (IdentityInput & { readonly of: IdentityInput })[] = []
    const numbered: Numbered[] = []
    for (let index = 0; index < envelopes.length; index++) {
      const envelope = envelopes[index] as Envelope
      if (envelope.sequence !== undefined) {
        numbered.push({ index, envelope, sequence: envelope.sequence })
        continue
      }
      const input = { index, envelope, key: hexOf(idKey(envelope.id)) }
      const name = nameOf(input)
      const of = first.get(name)
      if (of === undefined) first.set(name, input)
      else repeats.push({ ...input, of })
    }
    if (numbered.length > 0)
      for (const [index, status] of await claimNumbers(this.#context.sql, dedup, topic, numbered)) statuses[index] = status
    const { known, forgot } = await this.#claimAll(dedup, [...first.values()], statuses, recorder)
    for (const { index, envelope, of } of repeats)
      statuses[index] = (known.get(nameOf(of)) ?? bodyOf(of.envelope)) === bodyOf(envelope) ? 'seen' : 'reused'
    return { statuses, forgot }
  }

  /** Answers the bodies of those that were known, and whether something has been forgotten. */
  async #claimAll(
    dedup: number,
    inputs: readonly IdentityInput[],
    statuses: IdentityStatus[],
    recorder: Recorder,
  ): Promise<{ known: Map<string, string>; forgot: boolean }> {
    const known = new Map<string, string>()
    let forgot = false
    let open = inputs
    for (let look = 0; open.length > 0 && look < mostLooks; look++) {
      const recorded = await recorder(dedup, open, statuses)
      for (const [index, status] of recorded.fresh) statuses[index] = status
      forgot ||= recorded.forgot
      open = open.filter(({ index }) => statuses[index] === undefined)
      if (open.length === 0) break
      const bodies = await this.#bodies(dedup, open)
      for (const input of open) {
        const taken = bodies.get(input.index)
        if (taken === undefined) continue
        known.set(nameOf(input), taken)
        statuses[input.index] = taken === bodyOf(input.envelope) ? 'seen' : 'reused'
      }
      open = open.filter(({ index }) => statuses[index] === undefined)
    }
    if (open.length > 0) throw forgottenMeanwhile()
    return { known, forgot }
  }

  async #record(dedup: number, inputs: readonly IdentityInput[]): Promise<Recorded> {
    const indexes = new Map(inputs.map((input) => [nameOf(input), input.index]))
    const rows = await this.#context.sql.rows(
      `with claimed as (
         insert into {s}.identity (dedup, source, key, body, generation, time_ms)
         select w.dedup, r.source, decode(r.key, 'hex'), decode(r.body, 'hex'), w.current, r."timeMs"
         from {s}.dedup_window w, json_to_recordset($2::json) as r (source text, key text, body text, "timeMs" bigint)
         where w.dedup = $1::int order by r.source collate "C", decode(r.key, 'hex')
         on conflict do nothing returning source, key, time_ms),
       -- Asked once all are in: a row may have been forgotten, and removed, while this statement waited for its place.
       w as materialized (select {s}.forgotten_ms($1::int, (select count(*) from claimed)) as forgotten_ms)
       select c.source, encode(c.key, 'hex') as key, coalesce(c.time_ms <= w.forgotten_ms, false) as late,
         w.forgotten_ms is not null as forgot
       from w, claimed c`,
      dedup,
      JSON.stringify(
        inputs.map(({ key, envelope }) => ({ source: envelope.source, key, body: bodyOf(envelope), timeMs: envelope.timeMs })),
      ),
    )
    const fresh = new Map<number, 'new' | 'too-old'>()
    for (const row of rows)
      fresh.set(indexes.get(`${textOf(row.key)} ${textOf(row.source)}`) as number, row.late === true ? 'too-old' : 'new')
    return { fresh, forgot: rows[0]?.forgot === true }
  }

  async #bodies(dedup: number, inputs: readonly IdentityInput[]): Promise<ReadonlyMap<number, string>> {
    const rows = await this.#context.sql.rows(
      // One by one through the index: a join might read the whole table, which nobody knows the size of.
      `select r.index, encode(i.body, 'hex') as body
       from json_to_recordset($2::json) as r (index int, source text, key text)
         cross join lateral (select body from {s}.identity
           where dedup = $1::int and source = r.source and key = decode(r.key, 'hex') limit 1) i`,
      dedup,
      JSON.stringify(inputs.map(({ index, key, envelope: { source } }) => ({ index, source, key }))),
    )
    return new Map(rows.map((row) => [numberOf(row.index), textOf(row.body)]))
  }
}

const nameOf = ({ key, envelope }: IdentityInput): string => `${key} ${envelope.source}`
const bodyOf = ({ json }: Envelope): string => hexOf(bodyDigest(json))

export function forgottenMeanwhile(): OnefoldError {
  return new OnefoldError('DATABASE_BUSY', 'identities were forgotten while they were looked up; the same again goes through.', {
    retry: 'now',
  })
}
