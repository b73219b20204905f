import type { CallOutcome } from '../call.ts'
import type { CallSettlement } from '../calls/call-store.ts'
import { failed, happened, skipped } from '../calls/next-call-step.ts'
import type { Session } from '../database/database.ts'
import type { Lease } from '../ownership/ownership-store.ts'
import type { Request } from './call-requests.ts'
import type { ConsumerContext } from './consumer-context.ts'
import type { Item } from './item.ts'

interface Entry {
  readonly request: Pick<Request, 'name' | 'round'>
  readonly settlement: CallSettlement
  readonly by: 'call' | 'probe'
}

/** What one turn has found out about a message's calls and not yet committed. */
export class CallJournal {
  readonly #context: ConsumerContext
  readonly #item: Item
  readonly #found = new Map<string, CallSettlement>()
  #open: Entry[] = []
  #written = 0

  constructor(context: ConsumerContext, item: Item) {
    this.#context = context
    this.#item = item
  }

  settle(request: Pick<Request, 'name' | 'round'>, settlement: CallSettlement, by: 'call' | 'probe'): void {
    this.#found.set(request.name, settlement)
    this.#open.push({ request, settlement, by })
  }

  outcome(name: string): CallOutcome<unknown> {
    const found = this.#found.get(name)
    if (found?.state === 'happened') return happened(found.result)
    return found?.state === 'failed' ? failed(found.error) : skipped
  }

  /** In a transaction that may run again: nothing counts as written before `recorded`. */
  async record(session: Session<unknown>): Promise<void> {
    const { subscription, runtime } = this.#context
    const entries = [...this.#open]
    this.#written = entries.length
    for (const { request, settlement, by } of entries)
      await session.calls.settle(subscription, this.#item.identity, request, settlement, { by, nowMs: runtime.wallMs() })
  }

  /** What the last `record` wrote has committed. */
  recorded(): void {
    this.#open = this.#open.slice(this.#written)
    this.#written = 0
  }

  async intend(session: Session<unknown>, lease: Lease, requests: readonly Request[]): Promise<void> {
    const { subscription, runtime } = this.#context
    await session.calls.intend(
      subscription,
      this.#item.identity,
      requests.map(({ name, round, token, call }) => ({ name, round, token, rule: call.rule })),
      { lease, process: runtime.process, nowMs: runtime.wallMs(), key: this.#item.envelope.key },
    )
  }
}
