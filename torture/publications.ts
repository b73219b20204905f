import type { Order } from '../test/support/torture-workload.ts'

export interface OpenKey {
  readonly key: string
  /** The first number that is not known to be published. */
  readonly next: number
  readonly last: number
}

/** One try of one publish, as its publisher knows it ended. */
export interface Try {
  readonly publisher: number
  readonly order: Order
  readonly outcome: 'happened' | 'did-not-happen' | 'unknown'
  readonly receipt?: 'accepted' | 'duplicate'
}

const perKey = 20
const openPerPublisher = 4

/**
 * What the publishers of one file were told, kept in this process: no fault reaches it. A publisher goes on where the last
 * acknowledgement left off, so that what is unknown is published again under the same identity.
 */
export class Publications {
  /** In the order in which the answers came. */
  readonly tries: Try[] = []
  acknowledged = 0
  readonly #keys = new Map<string, { key: string; next: number; last: number; publisher: number }>()
  #count = 0
  #closing = false

  /** The keys that a publisher has to work on. */
  of(publisher: number): OpenKey[] {
    const mine = [...this.#keys.values()].filter((key) => key.publisher === publisher && key.next <= key.last)
    while (!this.#closing && mine.length < openPerPublisher) mine.push(this.#open(publisher))
    return mine.map(({ key, next, last }) => ({ key, next, last }))
  }

  /** 'accepted k1-3'. Answers a new key for the publisher where this one is done. */
  heard(publisher: number, answer: string): OpenKey | undefined {
    const [receipt = '', id = ''] = answer.split(' ')
    const { state, order } = this.#orderOf(id)
    this.tries.push({ publisher, order, outcome: 'happened', receipt: receipt as 'accepted' | 'duplicate' })
    this.acknowledged++
    state.next = Math.max(state.next, order.number + 1)
    return state.next > state.last && !this.#closing ? this.#open(publisher) : undefined
  }

  /** 'COMMIT_UNKNOWN unknown k1-3': it will try again. */
  failed(publisher: number, answer: string): void {
    const [, outcome, id = ''] = answer.split(' ')
    const { order } = this.#orderOf(id)
    this.tries.push({ publisher, order, outcome: outcome === 'not-applied' ? 'did-not-happen' : 'unknown' })
  }

  /** It has ended: of each of its keys the next one may have been published, and nobody was told. */
  interrupted(publisher: number): void {
    for (const { key, next } of this.of(publisher)) {
      this.tries.push({ publisher, order: { id: `${key}-${next}`, key, number: next }, outcome: 'unknown' })
    }
  }

  /** No new keys from now on. */
  close(): void {
    this.#closing = true
  }

  get complete(): boolean {
    return [...this.#keys.values()].every((key) => key.next > key.last)
  }

  /** How many were acknowledged, each counted once. */
  get published(): number {
    return [...this.#keys.values()].reduce((sum, { next }) => sum + next - 1, 0)
  }

  #orderOf(id: string) {
    const [key = '', number] = id.split('-')
    const state = this.#keys.get(key)
    if (state === undefined) throw new Error(`an answer about a key that nobody was given: ${id}`)
    return { state, order: { id, key, number: Number(number) } }
  }

  #open(publisher: number) {
    const state = { key: `k${this.#count++}`, next: 1, last: perKey, publisher }
    this.#keys.set(state.key, state)
    return state
  }
}
