import { bodyDigest } from '../../canonical-json.ts'
import { OnefoldError } from '../../errors.ts'
import type { NumberStatus } from '../../inbox/claim-status.ts'
import { SequenceSet } from '../../inbox/sequence-set.ts'
import type { Envelope } from '../../message.ts'
import type { OutboxNumber } from '../../outbox-number.ts'
import { outboxSource } from '../../outbox-number.ts'
import type { Statements } from './statements.ts'

/** Body digests kept per numbered source, to tell a reused number from a repeat. */
const keptBodies = 4_096

/** Interval sets of what numbered sources have sent, as they are in this transaction. */
export class Sequences {
  readonly #statements: Statements
  readonly #sets = new Map<string, SequenceSet>()

  constructor(statements: Statements) {
    this.#statements = statements
  }

  /** Others have committed, or something was rolled back. */
  clear(): void {
    if (this.#sets.size > 0) this.#sets.clear()
  }

  /** A message that its producer numbers. */
  claim(window: number, source: number, envelope: Envelope, topic: string): NumberStatus | 'reused' {
    const sequence = envelope.sequence ?? 0n
    const set = this.#set(window, source, `${topic}/${envelope.source}`)
    const body = bodyDigest(envelope.json)
    const added = tried(set, sequence)
    if (added === 'seen') {
      const known = this.#statements
        .sql('select body from {p}sequence_body where window = ? and source = ? and sequence = ?')
        .get<{ body: Uint8Array }>(window, source, sequence)?.body
      // Older than the digests kept: the number alone says it was received.
      return known === undefined || sameBytes(known, body) ? 'seen' : 'reused'
    }
    if (added !== 'new') return added
    this.#store(window, source, set)
    this.#statements
      .sql('insert into {p}sequence_body (window, source, sequence, body) values (?, ?, ?, ?)')
      .run(window, source, sequence, body)
    if (sequence % 64n === 0n) {
      this.#statements
        .sql('delete from {p}sequence_body where window = ? and source = ? and sequence < ?')
        .run(window, source, sequence - BigInt(keptBodies))
    }
    return 'new'
  }

  /** Numbers that outboxes gave: each set is written once. */
  claimOutboxNumbers(
    window: number,
    numbers: readonly (OutboxNumber | undefined)[],
    source: (name: string) => number,
  ): (NumberStatus | undefined)[] {
    const grown = new Map<number, SequenceSet>()
    const statuses = numbers.map((one) => {
      if (one === undefined) return undefined
      const name = outboxSource(one.series)
      const of = source(name)
      const set = this.#set(window, of, name)
      const status = tried(set, one.number)
      if (status === 'new') grown.set(of, set)
      return status
    })
    for (const [of, set] of grown) this.#store(window, of, set)
    return statuses
  }

  #set(window: number, source: number, name: string): SequenceSet {
    const key = `${window}/${source}`
    let set = this.#sets.get(key)
    if (set === undefined) {
      const row = this.#statements
        .sql('select ranges from {p}sequence where window = ? and source = ?')
        .get<{ ranges: string }>(window, source)
      set = SequenceSet.from(row?.ranges, { source: name })
      this.#sets.set(key, set)
    }
    return set
  }

  #store(window: number, source: number, set: SequenceSet): void {
    this.#statements
      .sql('insert into {p}sequence (window, source, ranges) values (?, ?, ?) on conflict do update set ranges = excluded.ranges')
      .run(window, source, set.toStored())
  }
}

/** An error where the bound on gaps refuses this number, and only it: refused, never dropped. */
function tried(set: SequenceSet, number: bigint): NumberStatus {
  try {
    return set.add(number)
  } catch (error) {
    if (error instanceof OnefoldError) return error
    throw error
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false
  return true
}
