import { OnefoldError } from '../../errors.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { Statements } from './statements.ts'

/** Numbers of subscriptions, remembered. A group's number never changes while it exists. */
export class Subscriptions {
  readonly #statements: Statements
  readonly #numbers = new Map<string, number>()

  constructor(statements: Statements) {
    this.#statements = statements
  }

  find(subscription: Subscription): number | undefined {
    const name = `${subscription.topic}\n${subscription.group}`
    const cached = this.#numbers.get(name)
    if (cached !== undefined) return cached
    const row = this.#statements
      .sql('select subscription from {p}subscription where topic = ? and grp = ?')
      .get<{ subscription: number }>(subscription.topic, subscription.group)
    if (row !== undefined) this.#numbers.set(name, row.subscription)
    return row?.subscription
  }

  number(subscription: Subscription): number {
    const found = this.find(subscription)
    if (found === undefined) {
      throw new OnefoldError('NOT_FOUND', `topic ${subscription.topic} has no group ${subscription.group} (any more).`, {
        details: { topic: subscription.topic, group: subscription.group },
      })
    }
    return found
  }

  forget(): void {
    if (this.#numbers.size > 0) this.#numbers.clear()
  }
}
