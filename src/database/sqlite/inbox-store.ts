import type { CheckpointStore, ClaimStatus, InboxStore, Progress, Subscription } from '../../inbox/inbox-store.ts'
import type { Envelope } from '../../message.ts'
import type { IdentityWindows } from './identity-windows.ts'
import type { Statements } from './statements.ts'
import type { Subscriptions } from './subscriptions.ts'

export class SqliteInboxStore implements InboxStore {
  readonly #statements: Statements
  readonly #subscriptions: Subscriptions
  readonly #windows: IdentityWindows

  constructor(statements: Statements, subscriptions: Subscriptions, windows: IdentityWindows) {
    this.#statements = statements
    this.#subscriptions = subscriptions
    this.#windows = windows
  }

  claim(subscription: Subscription, envelopes: readonly Envelope[]): ClaimStatus[] {
    const number = this.#subscriptions.number(subscription)
    const anyParked = this.#statements.sql('select 1 from {p}parked where subscription = ? limit 1').get(number) !== undefined
    const statuses = this.#windows.claim(subscription.topic, subscription.group, envelopes)
    return statuses.map((status, index): ClaimStatus => {
      if (status === 'reused') return 'id-reused'
      // A parked message's identity is pinned: its generation may have been dropped while it waits for a person.
      return status === 'new' && anyParked && this.#parked(number, envelopes[index] as Envelope) ? 'seen' : status
    })
  }

  #parked(subscription: number, envelope: Envelope): boolean {
    return (
      this.#statements
        .sql('select 1 from {p}parked where subscription = ? and source = ? and id = ? and sequence is ?')
        .get(subscription, envelope.source, envelope.id, envelope.sequence ?? null) !== undefined
    )
  }
}

export class SqliteCheckpointStore implements CheckpointStore {
  readonly #statements: Statements
  readonly #subscriptions: Subscriptions

  constructor(statements: Statements, subscriptions: Subscriptions) {
    this.#statements = statements
    this.#subscriptions = subscriptions
  }

  get(subscription: Subscription, partition: string): bigint | undefined {
    const number = this.#subscriptions.find(subscription)
    if (number === undefined) return undefined
    const row = this.#statements
      .sql('select "offset" from {p}checkpoint where subscription = ? and partition = ?')
      .get<{ offset: number | null }>(number, partition)
    return row?.offset == null ? undefined : BigInt(row.offset)
  }

  advance(subscription: Subscription, partition: string, progress: Progress): void {
    this.#statements
      .sql(
        `insert into {p}checkpoint (subscription, partition, "offset", applied, suppressed) values (?1, ?2, ?3, ?4, ?5)
         on conflict do update set "offset" = max(coalesce("offset", ?3), coalesce(?3, "offset")),
           applied = applied + excluded.applied, suppressed = suppressed + excluded.suppressed`,
      )
      .run(this.#subscriptions.number(subscription), partition, progress.offset ?? null, progress.applied, progress.suppressed)
  }
}
