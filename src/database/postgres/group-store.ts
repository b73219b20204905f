import { OnefoldError } from '../../errors.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { GroupStore, RemovedGroup } from '../database.ts'
import type { StoreContext } from './known.ts'
import { numberOf, textOf } from './sql.ts'
import type { Subscriptions } from './subscriptions.ts'

export class PostgresGroupStore implements GroupStore {
  readonly #context: StoreContext
  readonly #subscriptions: Subscriptions

  constructor(context: StoreContext, subscriptions: Subscriptions) {
    this.#context = context
    this.#subscriptions = subscriptions
  }

  async declare({ topic, group }: Subscription, options: { startFrom: 'earliest' | 'latest'; semantics: string }): Promise<void> {
    const { sql, wallMs } = this.#context
    const row = await sql.row(
      `insert into {s}.subscription (topic, grp, semantics, start_from, created_ms) values ($1, $2, $3, $4, $5::bigint)
       on conflict do nothing returning subscription`,
      topic,
      group,
      options.semantics,
      options.startFrom,
      Math.floor(wallMs()),
    )
    if (row === undefined) {
      await sql.rows(
        'update {s}.subscription set semantics = $3 where topic = $1 and grp = $2 and semantics <> $3',
        topic,
        group,
        options.semantics,
      )
      return
    }
    if (options.startFrom === 'latest') {
      await sql.rows(
        `insert into {s}.checkpoint (subscription, partition, "offset")
         select $1::int, p.number::text, {s}.give_offsets(p.partition, false) from {s}.partition p join {s}.topic t using (topic)
         where t.name = $2 order by p.partition`,
        numberOf(row.subscription),
        topic,
      )
    }
  }

  async remove(subscription: Subscription): Promise<RemovedGroup> {
    const { sql, known, made } = this.#context
    known.clear()
    const number = await this.#subscriptions.number(subscription)
    const { topic, group } = subscription
    // Whoever is about to consume it waits, and finds the group gone.
    await sql.rows('select 1 from {s}.lease where starts_with(name, $1) order by name for update', `${topic}/${group}/`)
    const owned = await sql.row(
      'select m.owner from {s}.member m join {s}.owner o using (owner) where m.membership = $1 limit 1',
      `${topic}/${group}`,
    )
    if (owned !== undefined) {
      throw new OnefoldError(
        'NOT_POSSIBLE',
        `group ${group} of topic ${topic} is being consumed (owner ${textOf(owned.owner)}); stop its consumers first.`,
        { retry: 'later', details: { topic, group } },
      )
    }
    const items = 'attention in (select attention from {s}.attention where subscription = $1::int)'
    await sql.rows(`delete from {s}.audit where ${items}`, number)
    await sql.rows('delete from {s}.revision where subscription = $1::int', number)
    const attempts = await sql.count(
      `delete from {s}.attempt where parked in (select parked from {s}.attention where subscription = $1::int
         union all select parked from {s}.parked where subscription = $1::int) returning 1`,
      number,
    )
    const calls = await sql.count('delete from {s}.call where subscription = $1::int returning 1', number)
    const removed = await sql.rows('delete from {s}.attention where subscription = $1::int returning state', number)
    const attention = removed.filter((row) => row.state === 'open').length
    const parked = await sql.count('delete from {s}.parked where subscription = $1::int returning 1', number)
    await sql.rows('delete from {s}.start_mark where subscription = $1::int', number)
    await sql.rows('delete from {s}.checkpoint where subscription = $1::int', number)
    // The leases stay: an epoch must never be given twice, and a zombie of the removed group still holds an old one.
    const ofGroup = 'topic = $1 and grp = $2'
    await sql.rows(`select 1 from {s}.dedup_window where ${ofGroup} for update`, topic, group)
    for (const table of ['identity', 'generation', 'sequence', 'sequence_body', 'dedup_window'])
      await sql.rows(
        `delete from {s}.${table} where dedup in (select dedup from {s}.dedup_window where ${ofGroup})`,
        topic,
        group,
      )
    await sql.rows('delete from {s}.subscription where subscription = $1::int', number)
    // Every process sees at its next BEGIN that numbers it remembers may be gone.
    await sql.rows(
      `insert into {s}.meta (name, value) values ('removals', '1')
       on conflict (name) do update set value = (meta.value::bigint + 1)::text`,
    )
    made.clear()
    return { parked: parked - attention, attention, calls, attempts }
  }

  async countFenced({ topic, group }: Subscription): Promise<void> {
    await this.#context.sql.rows('update {s}.subscription set fenced = fenced + 1 where topic = $1 and grp = $2', topic, group)
  }
}
