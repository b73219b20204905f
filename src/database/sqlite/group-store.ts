import { OnefoldError } from '../../errors.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { GroupStore, RemovedGroup } from '../database.ts'
import type { IdentityWindows } from './identity-windows.ts'
import type { Statements } from './statements.ts'
import type { Subscriptions } from './subscriptions.ts'

export class SqliteGroupStore implements GroupStore {
  readonly #statements: Statements
  readonly #subscriptions: Subscriptions
  readonly #windows: IdentityWindows
  readonly #wallMs: () => number

  constructor(statements: Statements, subscriptions: Subscriptions, windows: IdentityWindows, wallMs: () => number) {
    this.#statements = statements
    this.#windows = windows
    this.#subscriptions = subscriptions
    this.#wallMs = wallMs
  }

  declare({ topic, group }: Subscription, options: { startFrom: 'earliest' | 'latest'; semantics: string }): void {
    const inserted = this.#statements
      .sql(
        'insert into {p}subscription (topic, grp, semantics, start_from, created_ms) values (?, ?, ?, ?, ?) on conflict do nothing',
      )
      .run(topic, group, options.semantics, options.startFrom, this.#wallMs())
    if (inserted.changes === 0) {
      this.#statements
        .sql('update {p}subscription set semantics = ? where topic = ? and grp = ? and semantics <> ?')
        .run(options.semantics, topic, group, options.semantics)
      return
    }
    if (options.startFrom === 'latest') {
      this.#statements
        .sql(
          `insert into {p}checkpoint (subscription, partition, "offset")
           select ?, cast(p.number as text), p.head from {p}partition p join {p}topic t using (topic) where t.name = ?`,
        )
        .run(inserted.lastInsertRowid, topic)
    }
  }

  remove(subscription: Subscription): RemovedGroup {
    this.#subscriptions.forget()
    const number = this.#subscriptions.number(subscription)
    const { topic, group } = subscription
    const owned = this.#statements
      .sql('select m.owner from {p}member m join {p}owner o using (owner) where m.membership = ?')
      .get<{ owner: number }>(`${topic}/${group}`)
    if (owned !== undefined) {
      throw new OnefoldError(
        'NOT_POSSIBLE',
        `group ${group} of topic ${topic} is being consumed (owner ${owned.owner}); stop its consumers first.`,
        {
          retry: 'later',
          details: { topic, group },
        },
      )
    }
    const items = 'attention in (select attention from {p}attention where subscription = ?)'
    this.#statements.sql(`delete from {p}audit where ${items}`).run(number)
    this.#statements.sql('delete from {p}revision where subscription = ?').run(number)
    const attempts = this.#statements
      .sql(
        `delete from {p}attempt where parked in (select parked from {p}attention where subscription = ?1
           union all select parked from {p}parked where subscription = ?1)`,
      )
      .run(number).changes
    const calls = this.#statements.sql('delete from {p}call where subscription = ?').run(number).changes
    const attention = this.#statements
      .sql("delete from {p}attention where subscription = ? and state = 'open'")
      .run(number).changes
    this.#statements.sql('delete from {p}attention where subscription = ?').run(number)
    const parked = this.#statements.sql('delete from {p}parked where subscription = ?').run(number).changes
    this.#statements.sql('delete from {p}start_mark where subscription = ?').run(number)
    this.#statements.sql('delete from {p}checkpoint where subscription = ?').run(number)
    // The leases stay: an epoch must never be given twice, and a zombie of the removed group still holds an old one.
    const windows = this.#statements
      .sql('select window from {p}window where topic = ? and grp = ?')
      .all<{ window: number }>(topic, group)
    for (const { window } of windows) {
      this.#statements
        .sql('delete from {p}identity where generation in (select generation from {p}generation where window = ?)')
        .run(window)
      this.#statements.sql('delete from {p}generation where window = ?').run(window)
      this.#statements.sql('delete from {p}sequence where window = ?').run(window)
      this.#statements.sql('delete from {p}sequence_body where window = ?').run(window)
      this.#statements.sql('delete from {p}window where window = ?').run(window)
    }
    this.#windows.changed()
    this.#statements.sql('delete from {p}subscription where subscription = ?').run(number)
    this.#subscriptions.forget()
    return { parked: parked - attention, attention, calls, attempts }
  }

  countFenced(subscription: Subscription): void {
    this.#statements
      .sql('update {p}subscription set fenced = fenced + 1 where topic = ? and grp = ?')
      .run(subscription.topic, subscription.group)
  }
}
