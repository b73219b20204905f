import { claimStatus } from '../../inbox/claim-status.ts'
import type { CheckpointStore, ClaimStatus, InboxStore, Progress, Subscription } from '../../inbox/inbox-store.ts'
import type { Envelope } from '../../message.ts'
import type { IdentityWindows } from './identity-windows.ts'
import { parkedStatus } from './parked-identity.ts'
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
    const { topic, group } = subscription
    const numbers = this.#windows.claimOutboxNumbers(topic, group, envelopes)
    const statuses = this.#windows.claim(topic, group, envelopes)
    // A parked message's identity is pinned: its generation may have been dropped while it waits for a person.
    const anyParked = this.#statements.sql('select 1 from {p}parked where subscription = ? limit 1').get(number) !== undefined
    return statuses.map((status, index): ClaimStatus => {
      const fresh = status === 'new' || status === 'too-old'
      const envelope = envelopes[index] as Envelope
      const parked = fresh && anyParked ? parkedStatus(this.#statements, number, envelope) : undefined
      const answer = parked ?? status
      return claimStatus(answer === 'reused' ? 'id-reused' : answer, numbers?.[index], envelope)
    })
  }

  forgottenMs({ topic, group }: Subscription): number | undefined {
    return this.#windows.forgottenMs(topic, group)
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
