import { OnefoldError } from '../../errors.ts'
import { claimStatus } from '../../inbox/claim-status.ts'
import type { CheckpointStore, ClaimStatus, InboxStore, Progress, Subscription } from '../../inbox/inbox-store.ts'
import type { Envelope } from '../../message.ts'
import type { StoreContext } from './known.ts'
import { checkpointSql } from './open-statements.ts'
import { parkedStatuses } from './parked-identity.ts'
import { bigintOf, textOf } from './sql.ts'
import type { Subscriptions } from './subscriptions.ts'
import type { Windows } from './windows.ts'

export class PostgresInboxStore implements InboxStore {
  readonly #context: StoreContext
  readonly #subscriptions: Subscriptions
  readonly #windows: Windows

  constructor(context: StoreContext, subscriptions: Subscriptions, windows: Windows) {
    this.#context = context
    this.#subscriptions = subscriptions
    this.#windows = windows
  }

  async claim(subscription: Subscription, envelopes: readonly Envelope[]): Promise<ClaimStatus[]> {
    const number = await this.#subscriptions.number(subscription)
    const { topic, group } = subscription
    const numbers = await this.#windows.claimOutboxNumbers(topic, group, envelopes)
    const { statuses } = await this.#windows.claim(topic, group, envelopes)
    // A parked message's identity is pinned: it may have been forgotten while it waits for a person.
    const fresh = statuses.some((status) => status === 'new' || status === 'too-old')
    const parked = fresh ? await parkedStatuses(this.#context.sql, number, envelopes) : []
    return statuses.map((status, index): ClaimStatus => {
      const answer = status === 'new' || status === 'too-old' ? (parked[index] ?? status) : status
      return claimStatus(answer === 'reused' ? 'id-reused' : answer, numbers?.[index], envelopes[index] as Envelope)
    })
  }

  async lockSets({ topic, group }: Subscription, envelopes: readonly Envelope[]): Promise<void> {
    await this.#windows.lockSets(topic, group, envelopes)
  }

  async forgottenMs({ topic, group }: Subscription): Promise<number | undefined> {
    return this.#windows.forgottenMs(topic, group)
  }
}

export class PostgresCheckpointStore implements CheckpointStore {
  readonly #context: StoreContext
  readonly #subscriptions: Subscriptions

  constructor(context: StoreContext, subscriptions: Subscriptions) {
    this.#context = context
    this.#subscriptions = subscriptions
  }

  async get(subscription: Subscription, partition: string): Promise<bigint | undefined> {
    const number = await this.#subscriptions.find(subscription)
    if (number === undefined) return undefined
    const { sql, open } = this.#context
    const [row] = await (open?.checkpoint(number, partition) ?? sql.rows(checkpointSql, number, partition))
    return row === undefined || row.offset === null ? undefined : bigintOf(textOf(row.offset))
  }

  async advance(subscription: Subscription, partition: string, progress: Progress): Promise<void> {
    this.#refuseOldOffsets(subscription, partition, progress)
    const { sql, open, xid } = this.#context
    const number = await this.#subscriptions.number(subscription)
    open?.forgetCheckpoint()
    const advanced = sql.rows(
      'select {s}.advance($1::int, $2::text, $3::bigint, $4::bigint, $5::bigint, $6::text)',
      number,
      partition,
      progress.offset?.toString() ?? null,
      progress.applied,
      progress.suppressed,
      xid ?? null,
    )
    if (open === undefined) await advanced
    else open.last(advanced)
  }

  /**
   * Offsets are given by commits that are answered before they are on disk. A server that crashes meanwhile gives them anew, and perhaps
   * in another order: what was read before is given up, and read again from the checkpoint.
   */
  #refuseOldOffsets({ topic, group }: Subscription, partition: string, { offset }: Progress): void {
    const { known, life, relaxedOffsets } = this.#context
    const name = `${topic}/${partition}`
    if (offset === undefined || !relaxedOffsets || !known.lives.has(name)) return
    const read = known.lives.get(name)
    if (read !== undefined && read === life) return
    throw new OnefoldError(
      'FENCED',
      `${topic}/${group}/${partition}: the server has crashed since these messages were read, and may have given them other offsets; they are read again.`,
      { retry: 'now', details: { topic, group, partition } },
    )
  }
}
