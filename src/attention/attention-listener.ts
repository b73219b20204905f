import type { Database } from '../database/database.ts'
import type { AppEvent } from '../event.ts'
import type { AttentionItem } from './attention-store.ts'

/**
 * Tells a listener about items that this process has raised, one after the other, each after the commit that raised it. What the
 * listener throws goes nowhere. A hint and no more: a process that dies just then tells nothing, the list tells all.
 */
export class AttentionListener {
  readonly #database: Database<unknown>
  readonly #listener: (item: AttentionItem) => unknown
  #telling: Promise<void> = Promise.resolve()

  constructor(database: Database<unknown>, listener: (item: AttentionItem) => unknown) {
    this.#database = database
    this.#listener = listener
  }

  reported(event: AppEvent): void {
    const { kind, topic, group, source, id } = event
    if (kind !== 'attention' || topic === undefined || group === undefined || source === undefined || id === undefined) return
    this.#telling = this.#telling.then(async () => {
      try {
        const item = await this.#database.read((stores) => stores.attention.openOf({ topic, group }, { source, id }))
        // Somebody was quicker: it needs nobody any more. Not awaited: the listener may be waiting for the app to stop.
        if (item !== undefined) Promise.resolve(this.#listener(item)).catch(() => undefined)
      } catch {
        // A listener's own trouble must not become the consumer's.
      }
    })
  }

  /** Resolves when the listener has been told of all that was reported so far. */
  async told(): Promise<void> {
    await this.#telling
  }
}
