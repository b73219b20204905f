import { bodyDigest } from '../../canonical-json.ts'
import { OnefoldError } from '../../errors.ts'
import { KeyHash } from '../../inbox/bloom-filter.ts'
import type { NumberStatus } from '../../inbox/claim-status.ts'
import { idKey } from '../../inbox/id-key.ts'
import type { Envelope } from '../../message.ts'
import { outboxNumberOf } from '../../outbox-number.ts'
import { generationRows } from '../window-rules.ts'
import { CollectedGenerations } from './collected-generations.ts'
import type { SqlValue } from './connection.ts'
import type { GenerationRow, SealedGenerations } from './generation-filters.ts'
import { GenerationFilters } from './generation-filters.ts'
import { sameBytes, Sequences } from './sequences.ts'
import type { Statements } from './statements.ts'
import { bulkSizes } from './statements.ts'

const insertIdentity = 'insert into {p}identity (generation, source, key, body)'
const onConflict = 'on conflict do nothing'

/** 'too-old': not known, but stated to be from a time of which something was forgotten. Recorded like a new one. */
export type IdentityStatus = 'new' | 'seen' | 'reused' | 'too-old' | OnefoldError

interface Window {
  readonly window: number
  current: number
  readonly sealed: SealedGenerations
  /** A message published up to this time may have been received and forgotten. Undefined: nothing was. */
  readonly forgottenMs: number | undefined
  /** Rows added to the current generation in this transaction, written back before COMMIT. */
  added: number
  /** The newest time stated by what was added. */
  newestMs: number
}

/**
 * Which identities a topic (at publish) or a subscription (its inbox) has taken.
 *
 * Ids live in generations. The newest takes new ids: check and record are one `insert … on conflict do nothing`. Sealed
 * generations never change, so reading them under the write lock is no race; a filter each keeps that to almost none.
 * Numbered messages live in an interval set per source and need neither.
 */
export class IdentityWindows {
  readonly #statements: Statements
  readonly #wallMs: () => number
  readonly #windows = new Map<string, Window>()
  readonly #sources = new Map<string, number>()
  readonly #sequences: Sequences
  readonly #filters: GenerationFilters
  readonly #collected = new CollectedGenerations()
  readonly #hash = new KeyHash()
  /** Counted by windows that we have had to forget since BEGIN. A count too high only rotates early. */
  readonly #carried = new Map<number, { readonly added: number; readonly newestMs: number }>()
  #version = -1
  #dirty = false
  #rotated = false
  #unfiltered = false
  /** Told once a generation that we sealed without a filter is committed: it wants one soon. */
  onSealed: (() => void) | undefined

  constructor(statements: Statements, wallMs: () => number) {
    this.#statements = statements
    this.#filters = new GenerationFilters(statements)
    this.#sequences = new Sequences(statements)
    this.#wallMs = wallMs
  }

  /** At BEGIN, when somebody else has committed since: only what others can change is looked at again. */
  refresh(): void {
    this.#sequences.clear()
    const version =
      this.#statements.sql("select value from {p}meta where name = 'window_version'").get<{ value: number }>()?.value ?? 0
    if (version !== this.#version) this.#windows.clear()
    this.#version = version
  }

  /**
   * Generations were sealed, filtered, dropped or removed in this transaction: every process, this one included, looks
   * again. An id written to a generation that somebody has sealed would be hidden by its filter.
   */
  changed(): void {
    // Counts are not written before COMMIT: a savepoint's rollback must not take those of rows that were there before it.
    this.#forgetWindows()
    this.#dirty = true
    this.#version = bumpWindowVersion(this.#statements)
  }

  /** After a rollback: what was remembered may never have been written. */
  rolledBack(): void {
    this.#sequences.clear()
    this.#carried.clear()
    this.#collected.rolledBack()
    if (!this.#dirty) return
    this.#windows.clear()
    this.#sources.clear()
    this.#dirty = false
  }

  /** After a rollback to a savepoint: what was opened since is gone; what was counted before it still counts. */
  savepointRolledBack(): void {
    this.#sequences.clear()
    if (!this.#dirty) return
    this.#forgetWindows()
    this.#sources.clear()
  }

  #forgetWindows(): void {
    for (const { current, added, newestMs } of this.#windows.values()) {
      if (added === 0) continue
      const before = this.#carried.get(current) ?? { added: 0, newestMs: nothingMs }
      this.#carried.set(current, { added: before.added + added, newestMs: Math.max(before.newestMs, newestMs) })
    }
    this.#windows.clear()
  }

  /** Before COMMIT. */
  flush(): void {
    if (this.#carried.size > 0) {
      for (const [generation, { added, newestMs }] of this.#carried) this.#count(generation, added, newestMs)
      this.#carried.clear()
    }
    for (const window of this.#windows.values()) {
      if (window.added === 0) continue
      const rows = this.#count(window.current, window.added, window.newestMs)
      window.added = 0
      window.newestMs = nothingMs
      if (rows >= generationRows) this.#rotate(window, rows)
    }
  }

  #count(generation: number, added: number, newestMs: number): number {
    // Two statements: `returning` makes a table for its rows first, which costs ten times as much.
    const { changes } = this.#statements
      .sql('update {p}generation set rows = rows + ?1, newest_ms = max(coalesce(newest_ms, ?2), ?2) where generation = ?3')
      .run(added, newestMs, generation)
    if (changes === 0) return 0
    this.#collected.counted(generation, added)
    return (
      this.#statements.sql('select rows from {p}generation where generation = ?').get<{ rows: number }>(generation)?.rows ?? 0
    )
  }

  committed(): void {
    this.#dirty = false
    this.#collected.committed()
    // Filters are taken from what is committed, never from what we were about to commit.
    if (this.#rotated) this.#windows.clear()
    if (this.#unfiltered) this.onSealed?.()
    this.#rotated = false
    this.#unfiltered = false
  }

  /** Checks and records, in order. A repeat within one call is 'seen' like any other. */
  claim(topic: string, group: string, envelopes: readonly Envelope[]): IdentityStatus[] {
    const window = this.#window(topic, group)
    const statuses: IdentityStatus[] = []
    for (let from = 0; from < envelopes.length; from += bulkSizes[0]) {
      const chunk = envelopes.length <= bulkSizes[0] ? envelopes : envelopes.slice(from, from + bulkSizes[0])
      if (chunk.length > 1 && this.#claimAllNew(window, chunk))
        for (const envelope of chunk) statuses.push(added(window, envelope))
      else for (const envelope of chunk) statuses.push(this.#claimOne(window, envelope, topic))
    }
    return statuses
  }

  /**
   * Checks and records, in order, the numbers that outboxes gave. They need no window: each set is kept for ever. Undefined: none of
   * these came by an outbox.
   */
  claimOutboxNumbers(
    topic: string,
    group: string,
    envelopes: readonly Envelope[],
  ): readonly (NumberStatus | undefined)[] | undefined {
    const numbers = envelopes.map(outboxNumberOf)
    if (numbers.every((number) => number === undefined)) return undefined
    this.#dirty = true
    return this.#sequences.claimOutboxNumbers(this.#window(topic, group).window, numbers, (name) => this.#source(name))
  }

  /** A message published up to this time may have been received and forgotten. Undefined: nothing was. In a transaction. */
  forgottenMs(topic: string, group: string): number | undefined {
    return this.#window(topic, group).forgottenMs
  }

  /** The usual case in few statements: none is known. False: at least one is, and nothing has been recorded. */
  #claimAllNew(window: Window, chunk: readonly Envelope[]): boolean {
    const values: SqlValue[] = []
    const mark = this.#collected.mark(window.window)
    for (const envelope of chunk) {
      const key = envelope.sequence === undefined ? idKey(envelope.id) : undefined
      const source = this.#source(envelope.source)
      if (key === undefined || this.#sealedBody(window, source, key, this.#hash.of(key)) !== undefined) {
        this.#collected.undoTo(window.window, mark)
        return false
      }
      this.#collected.add(window.window, this.#hash)
      values.push(window.current, source, key, bodyDigest(envelope.json))
    }
    this.#dirty = true
    const savepoint = this.#statements.sql('savepoint onefold_claim')
    savepoint.run()
    const allNew = this.#statements.insertRows(insertIdentity, 4, values, onConflict) === chunk.length
    if (!allNew) {
      this.#statements.sql('rollback to onefold_claim').run()
      this.#collected.undoTo(window.window, mark)
    }
    this.#statements.sql('release onefold_claim').run()
    return allNew
  }

  /**
   * The body an id was taken with in a sealed generation. A filter that is wrong costs a query, and not that its neighbours
   * go in one by one: with many generations some filter is wrong every few hundred ids.
   */
  #sealedBody(window: Window, source: number, key: Uint8Array, hash: KeyHash): Uint8Array | undefined {
    for (const generation of window.sealed.mayContain(hash)) {
      const known = this.#body(generation, source, key)
      if (known !== undefined) return known
    }
    return undefined
  }

  #claimOne(window: Window, envelope: Envelope, topic: string): IdentityStatus {
    const source = this.#source(envelope.source)
    if (envelope.sequence !== undefined) {
      this.#dirty = true
      return this.#sequences.claim(window.window, source, envelope, topic)
    }
    const key = idKey(envelope.id)
    const body = bodyDigest(envelope.json)
    const hash = this.#hash.of(key)
    const sealed = this.#sealedBody(window, source, key, hash)
    if (sealed !== undefined) return sameBytes(sealed, body) ? 'seen' : 'reused'
    this.#dirty = true
    if (this.#statements.insertRows(insertIdentity, 4, [window.current, source, key, body], onConflict) === 1) {
      this.#collected.add(window.window, hash)
      return added(window, envelope)
    }
    const known = this.#body(window.current, source, key)
    return known !== undefined && sameBytes(known, body) ? 'seen' : 'reused'
  }

  #body(generation: number, source: number, key: Uint8Array): Uint8Array | undefined {
    return this.#statements
      .sql('select body from {p}identity where generation = ? and source = ? and key = ?')
      .get<{ body: Uint8Array }>(generation, source, key)?.body
  }

  #window(topic: string, group: string): Window {
    const name = `${topic}\n${group}`
    const cached = this.#windows.get(name)
    if (cached !== undefined) return cached
    this.#dirty = true
    this.#statements.sql('insert into {p}window (topic, grp) values (?, ?) on conflict do nothing').run(topic, group)
    const row = this.#statements
      .sql('select window, forgotten_ms from {p}window where topic = ? and grp = ?')
      .get<{ window: number; forgotten_ms: number | null }>(topic, group)
    if (row === undefined)
      throw new OnefoldError('DATABASE_CORRUPT', `the dedup window of ${topic} ${group} could not be created.`)
    const generations = this.#statements
      .sql(
        `select generation, opened_ms, sealed_ms, rows, filter is not null as hasFilter from {p}generation
         where window = ? and dropped = 0 order by generation`,
      )
      .all<GenerationRow>(row.window)
    const sealed = generations.filter((generation) => generation.sealed_ms !== null)
    const newest = generations.find((generation) => generation.sealed_ms === null)
    if (newest !== undefined) this.#collected.found(row.window, newest)
    const window: Window = {
      window: row.window,
      current: newest?.generation ?? this.#open(row.window),
      forgottenMs: row.forgotten_ms ?? undefined,
      added: 0,
      newestMs: nothingMs,
      sealed: this.#filters.sealed(row.window, sealed),
    }
    this.#windows.set(name, window)
    return window
  }

  #open(window: number): number {
    const openedMs = this.#wallMs()
    const { lastInsertRowid } = this.#statements
      .sql('insert into {p}generation (window, opened_ms) values (?, ?)')
      .run(window, openedMs)
    this.#collected.opened(window, lastInsertRowid, openedMs)
    return lastInsertRowid
  }

  #rotate(window: Window, rows: number): void {
    this.#dirty = true
    const generation = window.current
    const filter = this.#collected.sealed(window.window, rows)
    this.#statements
      .sql('update {p}generation set sealed_ms = ?, filter = ? where generation = ?')
      .run(this.#wallMs(), filter?.toBytes() ?? null, generation)
    window.sealed.add(generation)
    this.#rotated = true
    if (filter === undefined) this.#unfiltered = true
    window.current = this.#open(window.window)
    this.#version = bumpWindowVersion(this.#statements)
  }

  #source(name: string): number {
    const cached = this.#sources.get(name)
    if (cached !== undefined) return cached
    this.#dirty = true
    this.#statements.sql('insert into {p}source (name) values (?) on conflict do nothing').run(name)
    const row = this.#statements.sql('select source from {p}source where name = ?').get<{ source: number }>(name)
    if (row === undefined) throw new OnefoldError('DATABASE_CORRUPT', `source ${name} could not be recorded.`)
    // A publisher that makes up a new source per message must not fill the memory.
    if (this.#sources.size > 10_000) this.#sources.clear()
    this.#sources.set(name, row.source)
    return row.source
  }
}

/** Older than anything a producer states. */
const nothingMs = Number.MIN_SAFE_INTEGER

function added(window: Window, { timeMs }: Envelope): 'new' | 'too-old' {
  window.added++
  if (timeMs > window.newestMs) window.newestMs = timeMs
  return window.forgottenMs !== undefined && timeMs <= window.forgottenMs ? 'too-old' : 'new'
}

/** Tells every process that the list of generations, or a filter, has changed. */
function bumpWindowVersion(statements: Statements): number {
  const row = statements
    .sql(
      "insert into {p}meta (name, value) values ('window_version', 1) on conflict do update set value = value + 1 returning value",
    )
    .get<{ value: number }>()
  return row?.value ?? -1
}
