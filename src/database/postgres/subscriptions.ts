import { OnefoldError } from '../../errors.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { StoreContext } from './known.ts'
import { numberOf } from './sql.ts'

/** Subscriptions have small numbers; most tables refer to them. */
export class Subscriptions {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  async find({ topic, group }: Subscription): Promise<number | undefined> {
    const { sql, known, made } = this.#context
    const name = `${topic}\n${group}`
    const cached = known.subscriptions.get(name) ?? made.subscriptions.get(name)
    if (cached !== undefined) return cached
    const row = await sql.row('select subscription from {s}.subscription where topic = $1 and grp = $2', topic, group)
    if (row === undefined) return undefined
    const number = numberOf(row.subscription)
    made.subscriptions.set(name, number)
    return number
  }

  async number(subscription: Subscription): Promise<number> {
    const number = await this.find(subscription)
    if (number !== undefined) return number
    const { topic, group } = subscription
    throw new OnefoldError('NOT_FOUND', `group ${group} of topic ${topic} is not known to this database.`, {
      details: { topic, group },
    })
  }
}
